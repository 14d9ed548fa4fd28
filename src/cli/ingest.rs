//! `dokkai ingest`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::client::Client;
use super::session::Session;
use super::{CliError, collection_flag, json_flag, server_flag, start_logs};
use crate::config::Config;

/// Uploads under way at once.
const UPLOADS: usize = 8;

/// Between looks at how far the server is.
const POLL: Duration = Duration::from_millis(150);

/// Documents that a look at the list asks for at once.
const PAGE: &str = "500";

/// What became of one file.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Outcome {
    pub(super) path: PathBuf,
    pub(super) id: Option<String>,
    title: String,
    pub(super) status: String,
    duplicate: bool,
    error: Option<Value>,
}

pub(super) fn command() -> Command {
    Command::new("ingest")
        .about("Add files and folders, and wait until they are searchable")
        .arg(
            Arg::new("paths")
                .required(true)
                .num_args(1..)
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .arg(collection_flag("Put the documents into this collection"))
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let paths: Vec<PathBuf> = matches.get_many("paths").into_iter().flatten().cloned().collect();
    let session = Session::open(matches, config).await?;
    let collection = matches.get_one::<String>("collection").map(String::as_str);
    let outcomes = ingest(&session.client, &paths, collection).await;
    session.close().await;
    let outcomes = outcomes?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&json!({"documents": outcomes})).map_err(std::io::Error::other)?);
    } else {
        report(&outcomes);
    }
    if outcomes.iter().any(Outcome::failed) { Err(CliError::Partial) } else { Ok(()) }
}

impl Outcome {
    fn failed(&self) -> bool {
        self.status == "failed"
    }

    fn word(&self, field: &str) -> &str {
        self.error.as_ref().and_then(|error| error[field].as_str()).unwrap_or_default()
    }
}

/// Uploads all files below `paths` and waits until each is ready or failed. In the order of their paths.
pub(super) async fn ingest(
    client: &Client,
    paths: &[PathBuf],
    collection: Option<&str>,
) -> Result<Vec<Outcome>, CliError> {
    let files = files(paths)?;
    let bar = bar(files.len());
    let mut outcomes: Vec<Outcome> = stream::iter(files)
        .map(|path| async {
            let outcome = upload(client, path, collection).await;
            bar.inc(1);
            outcome
        })
        .buffered(UPLOADS)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    wait(client, &mut outcomes, &bar).await?;
    bar.finish_and_clear();
    Ok(outcomes)
}

/// A file that is refused is an outcome; a server that cannot be talked to ends the command.
async fn upload(client: &Client, path: PathBuf, collection: Option<&str>) -> Result<Outcome, CliError> {
    let failed = |path, code: &str, message: &str| Outcome {
        path,
        id: None,
        title: String::new(),
        status: "failed".to_owned(),
        duplicate: false,
        error: Some(json!({"code": code, "message": message})),
    };
    match client.upload(&path, collection).await {
        Ok(reply) => Ok(Outcome {
            path,
            id: reply["id"].as_str().map(str::to_owned),
            title: reply["title"].as_str().unwrap_or_default().to_owned(),
            status: reply["status"].as_str().unwrap_or_default().to_owned(),
            duplicate: reply["duplicate"].as_bool().unwrap_or_default(),
            error: Some(reply["error"].clone()).filter(|error| !error.is_null()),
        }),
        Err(CliError::Refused { code, message, status }) if status < 500 && status != 401 && status != 403 => {
            Ok(failed(path, &code, &message))
        }
        Err(CliError::Io(error)) => Ok(failed(path, "unreadable_file", &error.to_string())),
        Err(other) => Err(other),
    }
}

/// Waits until the server has nothing queued or in work, then learns what became of each document.
async fn wait(client: &Client, outcomes: &mut [Outcome], bar: &ProgressBar) -> Result<(), CliError> {
    bar.set_position(0);
    bar.set_message("indexing");
    loop {
        let mut left = 0;
        for status in ["queued", "processing"] {
            let list: Value = client.get("/api/documents", &[("status", status), ("limit", "1")]).await?;
            left += list["total"].as_u64().unwrap_or_default();
        }
        bar.set_position((outcomes.len() as u64).saturating_sub(left));
        if left == 0 {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    learn(client, outcomes).await
}

/// Reads the list of documents, newest first, until it has told of all that were uploaded.
async fn learn(client: &Client, outcomes: &mut [Outcome]) -> Result<(), CliError> {
    let mut unknown: BTreeMap<String, Vec<&mut Outcome>> = BTreeMap::new();
    for outcome in outcomes.iter_mut() {
        if let Some(id) = outcome.id.clone() {
            unknown.entry(id).or_default().push(outcome);
        }
    }
    let mut cursor = Some(String::new());
    while let Some(next) = cursor.take().filter(|_| !unknown.is_empty()) {
        let list: Value = client.get("/api/documents", &[("limit", PAGE), ("cursor", &next)]).await?;
        for document in list["documents"].as_array().into_iter().flatten() {
            let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
            for outcome in unknown.remove(&text("id")).into_iter().flatten() {
                outcome.status = text("status");
                outcome.title = text("title");
                outcome.error = Some(document["error"].clone()).filter(|error| !error.is_null());
            }
        }
        cursor = list["next_cursor"].as_str().map(str::to_owned);
    }
    // What the list does not tell of was deleted meanwhile.
    for outcome in unknown.into_values().flatten() {
        outcome.status = "failed".to_owned();
        outcome.error = Some(json!({"code": "document_not_found", "message": "deleted before it was searchable"}));
    }
    Ok(())
}

/// All files below the paths, sorted, hidden ones left out unless named.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(CliError::Io(std::io::Error::other(format!("{} does not exist", path.display()))));
        }
        let is_hidden = |entry: &walkdir::DirEntry| {
            entry.depth() > 0 && entry.file_name().to_str().is_some_and(|name| name.starts_with('.'))
        };
        let walk = walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|entry| !is_hidden(entry)) {
            let entry = entry.map_err(std::io::Error::other)?;
            if entry.file_type().is_file() {
                files.push(entry.into_path());
            }
        }
    }
    Ok(files)
}

fn bar(files: usize) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(files as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{msg:>9} [{bar:40}] {pos}/{len}  {elapsed} (left {eta})") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message("uploading");
    bar
}

/// Says on stderr which files failed and why.
pub(super) fn report_failures(outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.failed()) {
        eprintln!("{}: {} ({})", outcome.path.display(), outcome.word("message"), outcome.word("code"));
    }
}

fn report(outcomes: &[Outcome]) {
    let count = |test: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| test(outcome)).count();
    let (failed, duplicates) = (count(Outcome::failed), count(|outcome| outcome.duplicate));
    println!("{} ready, {failed} failed, {duplicates} of them known before", outcomes.len() - failed);
    let mut by_code: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.failed()) {
        by_code.entry(outcome.word("code")).or_default().push(outcome);
    }
    for (code, outcomes) in by_code {
        println!("{code} ({}): {}", outcomes.len(), outcomes.first().map_or("", |outcome| outcome.word("message")));
        for outcome in outcomes {
            println!("  {}", outcome.path.display());
        }
    }
}
