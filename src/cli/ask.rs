//! `dokkai ask`.

use std::io::{IsTerminal as _, Write as _};

use clap::{Arg, ArgMatches, Command};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::session::Session;
use super::{CliError, collection_flag, docs_flag, filter_flag, json_flag, server_flag, start_logs};
use crate::config::Config;
use crate::model::filter::Filter;
use crate::model::{Mode, QuestionRecord, QuestionStatus};
use crate::text::one_line;

pub(super) fn command() -> Command {
    Command::new("ask")
        .about("Ask a question; with --docs, of these files alone")
        .arg(Arg::new("question").required(true).value_name("QUESTION"))
        .arg(docs_flag())
        .arg(collection_flag("Only documents of this collection"))
        .arg(filter_flag())
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let session = Session::to_ask(matches, config).await?;
    let answered = ask(&session, matches).await;
    session.close().await;
    answered
}

async fn ask(session: &Session, matches: &ArgMatches) -> Result<(), CliError> {
    let question = json!({
        "question": matches.get_one::<String>("question"),
        "filter": matches.get_one::<Filter>("filter"),
        "collection": matches.get_one::<String>("collection"),
    });
    let json = matches.get_flag("json");
    let mut events = session.client.ask(&question).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        match event.name.as_str() {
            "analysis" if std::io::stderr().is_terminal() => {
                eprintln!("  {:<10} {}", text(&event.data["status"]), text(&event.data["title"]));
            }
            "delta" if !json => {
                print!("{}", text(&event.data["text"]));
                std::io::stdout().flush()?;
            }
            "error" => {
                return Err(CliError::Server(text(&event.data["error"]["message"]).to_owned()));
            }
            "done" if json => {
                println!("{}", serde_json::to_string_pretty(&event.data).map_err(std::io::Error::other)?);
                return status(&event.data);
            }
            "done" => {
                let record: QuestionRecord =
                    serde_json::from_value(event.data.clone()).map_err(std::io::Error::other)?;
                report(&record);
                return status(&event.data);
            }
            _ => {}
        }
    }
    Err(CliError::Server("the server ended without an answer".to_owned()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn status(record: &Value) -> Result<(), CliError> {
    if record["status"] == QuestionStatus::Failed.as_str() {
        return Err(CliError::Server(text(&record["error"]["message"]).to_owned()));
    }
    Ok(())
}

fn report(record: &QuestionRecord) {
    println!();
    for citation in &record.citations {
        let page = citation.page.map(|page| format!(", p. {page}")).unwrap_or_default();
        let quote = one_line(&citation.quote);
        println!("[{}] {}{page}: \"{quote}\"", citation.marker, citation.title);
    }
    let coverage = record.coverage;
    eprintln!(
        "\n{} documents: {} used, {} not relevant, {} failed, {} timed out; {:.1} s, ${:.4}",
        coverage.retrieved,
        coverage.analysed,
        coverage.irrelevant,
        coverage.failed,
        coverage.timed_out,
        std::time::Duration::from_millis(record.timings_ms.total).as_secs_f64(),
        record.usage.cost_usd
    );
    if !record.uncited_sentences.is_empty() {
        eprintln!("statements without a source: {}", record.uncited_sentences.len());
    }
    if record.mode == Mode::Extractive {
        let reason = record.mode_reason.as_ref().map_or_else(
            || "no model is configured; set DOKKAI_LLM_API_KEY for written answers".to_owned(),
            |problem| problem.message.clone(),
        );
        eprintln!("extractive mode: sentences of the documents, without a model ({reason})");
    }
}
