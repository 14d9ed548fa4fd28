//! `dokkai eval --answers`: how well judged questions are answered. They are asked as `dokkai ask` asks them, several at
//! a time, of the documents that are there or of files given beside; each record is then held against what was
//! expected. Two runs, of two configurations or before and after a change, are compared by `--baseline`.

mod facts;
mod judged;
mod report;
mod score;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::time::Instant;

use self::judged::Judged;
use self::report::Report;
use self::score::Score;
use super::super::client::Client;
use super::super::session::Session;
use super::super::{CliError, collection_flag, docs_flag, server_flag};
use crate::config::Config;
use crate::model::{Document, DocumentId, QuestionRecord};

/// What is asked for on the command line beside what every evaluation knows.
pub(super) fn args() -> [Arg; 5] {
    [
        Arg::new("answers")
            .long("answers")
            .value_name("FILE.jsonl")
            .value_parser(clap::value_parser!(PathBuf))
            .conflicts_with_all(["mode", "keep"])
            .help("Ask these questions and judge the answers: {\"question\", \"expected_facts\", \"expected_documents\", \"refuse\", \"collection\"} a line"),
        Arg::new("concurrency")
            .long("concurrency")
            .value_name("N")
            .default_value("4")
            .value_parser(clap::value_parser!(u16).range(1..=256))
            .help("Questions under way at once"),
        docs_flag().requires("answers"),
        collection_flag("Ask of this collection, where a question names none").requires("answers"),
        server_flag().requires("answers"),
    ]
}

/// Asks all questions and prints what the answers are worth.
pub(super) async fn run(questions: &Path, matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    let baseline: Option<Report> =
        matches.get_one::<PathBuf>("baseline").map(|path| super::read_report(path)).transpose()?;
    let mut judged = judged::read(questions)?;
    if let Some(limit) = matches.get_one::<u32>("limit") {
        judged.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
    }
    let collection = matches.get_one::<String>("collection");
    for one in &mut judged {
        one.collection = one.collection.take().or(collection.cloned());
    }
    let concurrency = usize::from(matches.get_one::<u16>("concurrency").copied().unwrap_or(1));
    let session = Session::to_ask(matches, config).await?;
    let scores = ask_all(&session.client, &judged, concurrency).await;
    session.close().await;
    let report = Report::of(questions, scores);
    report.print(matches.get_flag("json"), baseline.as_ref())?;
    if report.all.failed > 0 { Err(CliError::Partial) } else { Ok(()) }
}

/// Asks so many at a time; the scores are in the order of the questions.
async fn ask_all(client: &Client, judged: &[Judged], concurrency: usize) -> Vec<Score> {
    let bar = ProgressBar::new(u64::try_from(judged.len()).unwrap_or(u64::MAX));
    let asked = stream::iter(judged).map(|one| async {
        let begun = Instant::now();
        let answered = ask(client, one).await;
        let milliseconds = begun.elapsed().as_secs_f64() * 1_000.0;
        let score = match answered {
            Ok(record) => Score::of(one, &record, &sources(client, one, &record).await),
            Err(error) => {
                bar.suspend(|| eprintln!("{}: {error}", one.id));
                Score::failed(one, error.to_string())
            }
        };
        bar.inc(1);
        Score { milliseconds, ..score }
    });
    let scores = asked.buffered(concurrency).collect().await;
    bar.finish_and_clear();
    scores
}

/// The finished record.
async fn ask(client: &Client, judged: &Judged) -> Result<QuestionRecord, CliError> {
    let question = json!({"question": judged.question, "collection": judged.collection});
    let mut events = client.ask(&question).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        match event.name.as_str() {
            "done" => return Ok(serde_json::from_value(event.data).map_err(std::io::Error::other)?),
            "error" => {
                let message = event.data["error"]["message"].as_str().unwrap_or_default();
                return Err(CliError::Server(message.to_owned()));
            }
            _ => {}
        }
    }
    Err(CliError::Server("the server ended without an answer".to_owned()))
}

/// Where the cited documents came from, if that matters; one that is gone by now came from nowhere.
async fn sources(client: &Client, judged: &Judged, record: &QuestionRecord) -> HashMap<DocumentId, String> {
    let mut sources = HashMap::new();
    if judged.documents.is_empty() {
        return sources;
    }
    for citation in &record.citations {
        let id = citation.document_id;
        if sources.contains_key(&id) {
            continue;
        }
        let document: Result<Document, CliError> = client.get(&format!("/api/documents/{id}"), &[]).await;
        sources.extend(document.ok().and_then(|document| Some((id, document.source?))));
    }
    sources
}
