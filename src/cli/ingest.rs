//! `dokkai ingest`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::client::Client;
use super::session::Session;
use super::{CliError, collection_flag, json_flag, server_flag, start_logs, sync, watch};
use crate::config::Config;

/// Requests under way at once.
const UPLOADS: usize = 4;

/// Files and bytes of one request at the most; a larger file goes alone.
const BATCH_FILES: usize = 32;
const BATCH_BYTES: u64 = 8 << 20;

/// After so long without an event the server is asked how far it is.
const SILENCE: Duration = Duration::from_secs(2);

/// Between looks at what events told.
const FLOCK: Duration = Duration::from_millis(50);

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
        .arg(
            Arg::new("sync")
                .long("sync")
                .action(ArgAction::SetTrue)
                .help("Make the collection hold exactly what the one folder PATH holds: new, changed, moved and gone"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .requires("sync")
                .help("Only say what --sync would do"),
        )
        .arg(
            Arg::new("watch")
                .long("watch")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["sync", "dry-run"])
                .help("As --sync, and again whenever something in the folder changes, until Ctrl-C"),
        )
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let paths: Vec<PathBuf> = matches.get_many("paths").into_iter().flatten().cloned().collect();
    let session = Session::open(matches, config).await?;
    let collection = matches.get_one::<String>("collection").map(String::as_str);
    if matches.get_flag("sync") {
        let done = sync::run(&session.client, &paths, collection, matches).await;
        session.close().await;
        return done;
    }
    if matches.get_flag("watch") {
        let done = watch::run(&session.client, &paths, collection, matches.get_flag("json")).await;
        session.close().await;
        return done;
    }
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
    fn is_pending(&self) -> bool {
        self.status == "queued" || self.status == "processing"
    }

    pub(super) fn failed(&self) -> bool {
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
    let follower = Follower::start(client).await?;
    let mut outcomes = send(client, &files, collection, &bar).await?;
    wait(client, &follower, &mut outcomes, &bar).await?;
    bar.finish_and_clear();
    Ok(outcomes)
}

/// Uploads files, several small ones in one request and several requests at once. In their order.
pub(super) async fn send(
    client: &Client,
    files: &[PathBuf],
    collection: Option<&str>,
    bar: &ProgressBar,
) -> Result<Vec<Outcome>, CliError> {
    let sent: Vec<Vec<Outcome>> = stream::iter(batches(files))
        .map(|batch| async move {
            let outcomes = upload(client, batch, collection).await;
            bar.inc(batch.len() as u64);
            outcomes
        })
        .buffered(UPLOADS)
        .try_collect()
        .await?;
    Ok(sent.into_iter().flatten().collect())
}

/// Cuts a list of files into stretches of not too many files and bytes.
fn batches(files: &[PathBuf]) -> Vec<&[PathBuf]> {
    let (mut batches, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (place, file) in files.iter().enumerate() {
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        if place > begin && (place - begin == BATCH_FILES || bytes + size > BATCH_BYTES) {
            batches.push(&files[begin..place]);
            (begin, bytes) = (place, 0);
        }
        bytes += size;
    }
    batches.push(&files[begin..]);
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// Sends what the server does not have yet. A file that is refused is an outcome; a server that cannot be talked to
/// ends the command.
async fn upload(client: &Client, batch: &[PathBuf], collection: Option<&str>) -> Result<Vec<Outcome>, CliError> {
    let hashes = stream::iter(batch).then(|path| hash(path.clone())).collect::<Vec<_>>().await;
    let known = lookup(client, &hashes, collection).await?;
    let known_of = |place: usize| hashes[place].as_ref().and_then(|hash| known.get(hash));
    let unknown: Vec<PathBuf> = batch
        .iter()
        .enumerate()
        .filter(|(place, _)| known_of(*place).is_none())
        .map(|(_, path)| path.clone())
        .collect();
    let mut sent = match client.upload(&unknown, collection).await {
        Ok(replies) if !unknown.is_empty() => {
            unknown.iter().zip(&replies).map(|(path, reply)| Outcome::of(path, reply, false)).collect()
        }
        // One file may be what the request failed at.
        Err(CliError::Refused { .. } | CliError::Io(_)) if unknown.len() > 1 => {
            stream::iter(&unknown).then(|path| upload_one(client, path, collection)).try_collect().await?
        }
        _ if unknown.is_empty() => Vec::new(),
        _ => vec![upload_one(client, &unknown[0], collection).await?],
    }
    .into_iter();
    let outcomes = batch.iter().enumerate().filter_map(|(place, path)| match known_of(place) {
        Some(document) => Some(Outcome::of(path, document, true)),
        None => sent.next(),
    });
    Ok(outcomes.collect())
}

async fn upload_one(client: &Client, path: &Path, collection: Option<&str>) -> Result<Outcome, CliError> {
    match client.upload(&[path.to_owned()], collection).await {
        Ok(replies) => Ok(Outcome::of(path, &replies[0], false)),
        Err(error) => Outcome::of_error(path, error),
    }
}

impl Outcome {
    /// What the server says of a file's document.
    pub(super) fn of(path: &Path, document: &Value, duplicate: bool) -> Self {
        Self {
            path: path.to_owned(),
            id: document["id"].as_str().map(str::to_owned),
            title: document["title"].as_str().unwrap_or_default().to_owned(),
            status: document["status"].as_str().unwrap_or_default().to_owned(),
            duplicate: duplicate || document["duplicate"].as_bool().unwrap_or_default(),
            error: Some(document["error"].clone()).filter(|error| !error.is_null()),
        }
    }

    /// A file that was refused or cannot be read; anything else goes on as an error.
    pub(super) fn of_error(path: &Path, error: CliError) -> Result<Self, CliError> {
        let error = if let CliError::Io(error) = &error {
            json!({"code": "unreadable_file", "message": error.to_string()})
        } else if let CliError::Refused { code, message, status: 400 | 402 | 404..500 } = &error {
            json!({"code": code, "message": message})
        } else {
            return Err(error);
        };
        Ok(Self::of(path, &json!({"status": "failed", "error": error}), false))
    }
}

/// The SHA-256 of a file, in hexadecimal; none where it cannot be read.
pub(super) async fn hash(path: PathBuf) -> Option<String> {
    let hashed = tokio::task::spawn_blocking(move || {
        let (mut file, mut hash) = (std::fs::File::open(path)?, Sha256::new());
        let mut piece = vec![0; 128 * 1024];
        loop {
            match std::io::Read::read(&mut file, &mut piece)? {
                0 => break,
                read => hash.update(&piece[..read]),
            }
        }
        Ok::<_, std::io::Error>(hex::encode(hash.finalize()))
    });
    hashed.await.ok()?.ok()
}

/// Which of these contents the server has, by their hashes.
async fn lookup(
    client: &Client,
    hashes: &[Option<String>],
    collection: Option<&str>,
) -> Result<HashMap<String, Value>, CliError> {
    let body = json!({"hashes": hashes.iter().flatten().collect::<Vec<_>>(), "collection": collection});
    let mut known: Value = match client.post("/api/documents/lookup", &body).await {
        Ok(known) => known,
        // A server of an earlier version has no such route; it finds duplicates all the same.
        Err(CliError::Refused { status: 404 | 405, .. }) => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let Value::Array(documents) = known["documents"].take() else { return Ok(HashMap::new()) };
    let by_hash =
        documents.into_iter().filter_map(|document| Some((document["sha256"].as_str()?.to_owned(), document)));
    Ok(by_hash.collect())
}

/// Knows which documents the server is done with, by its events.
pub(super) struct Follower {
    settled: Arc<Mutex<HashSet<String>>>,
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows from now on.
    pub(super) async fn start(client: &Client) -> Result<Self, CliError> {
        let mut events = client.document_events().await?;
        let (settled, changed) = (Arc::<Mutex<HashSet<String>>>::default(), Arc::<Notify>::default());
        let (set, wake) = (Arc::clone(&settled), Arc::clone(&changed));
        let task = tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                let status = event.data["status"].as_str().unwrap_or_default();
                let Some(id) = event.data["id"].as_str() else { continue };
                let mut settled = set.lock().unwrap_or_else(PoisonError::into_inner);
                if matches!(status, "ready" | "failed" | "deleted") {
                    settled.insert(id.to_owned());
                } else {
                    settled.remove(id);
                }
                wake.notify_one();
            }
        });
        Ok(Self { settled, changed, task })
    }

    fn is_settled(&self, id: &str) -> bool {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until the server is done with each document, then learns what became of it.
pub(super) async fn wait(
    client: &Client,
    follower: &Follower,
    outcomes: &mut [Outcome],
    bar: &ProgressBar,
) -> Result<(), CliError> {
    bar.set_message("indexing");
    let mut pending: Vec<String> =
        outcomes.iter().filter(|one| one.is_pending()).filter_map(|one| one.id.clone()).collect();
    loop {
        pending.retain(|id| !follower.is_settled(id));
        bar.set_position((outcomes.len() - pending.len()) as u64);
        if pending.is_empty() {
            break;
        }
        // Events may have been missed: silence is a reason to ask.
        if tokio::time::timeout(SILENCE, follower.changed.notified()).await.is_err() {
            let mut left = 0;
            for status in ["queued", "processing"] {
                let list: Value = client.get("/api/documents", &[("status", status), ("limit", "1")]).await?;
                left += list["total"].as_u64().unwrap_or_default();
            }
            if left == 0 {
                break;
            }
        } else {
            // Events come in flocks, and each look costs a walk over all that is pending.
            tokio::time::sleep(FLOCK).await;
        }
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
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
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

pub(super) fn bar(files: usize) -> ProgressBar {
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

pub(super) fn report(outcomes: &[Outcome]) {
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
