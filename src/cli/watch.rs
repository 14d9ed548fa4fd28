//! What `dokkai ingest --watch` does: syncs a folder, then again after each flock of changes in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::CliError;
use super::client::Client;
use super::sync::{self, Seen};

/// A flock of changes is over when nothing changed for so long: most programs have written their file by then.
const QUIET: Duration = Duration::from_millis(500);

/// The longest flock that is waited for.
const FLOCK: Duration = Duration::from_secs(10);

/// After so long a sync that failed is tried again, also where nothing changes.
const AGAIN: Duration = Duration::from_secs(10);

/// Keeps a collection like a folder until Ctrl-C or SIGTERM. What fails is said, and does not end it.
pub(super) async fn run(
    client: &Client,
    paths: &[PathBuf],
    collection: Option<&str>,
    json: bool,
) -> Result<(), CliError> {
    let folder = sync::folder(paths)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let changed = Arc::new(Notify::new());
    let wake = Arc::clone(&changed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Where events were lost, only a look tells.
        if event.map_or(true, |event| may_change(&event.kind)) {
            wake.notify_one();
        }
    })
    .map_err(cannot_watch)?;
    // From before the first look, so that nothing falls between them.
    watcher.watch(&folder, RecursiveMode::Recursive).map_err(cannot_watch)?;
    let watching = async {
        let mut seen = Seen::default();
        for round in 0_u64.. {
            let synced = sync::once(client, &folder, collection, &mut seen, false).await;
            let succeeded = synced.as_ref().is_ok_and(|done| !done.failed());
            match synced {
                Ok(done) if round > 0 && done.is_nothing() => {}
                Ok(done) if json => println!("{}", serde_json::to_string(&done).map_err(std::io::Error::other)?),
                Ok(done) => done.show(),
                Err(error) => eprintln!("dokkai: {error}; trying again"),
            }
            if round == 0 {
                eprintln!("watching {}; Ctrl-C ends it", folder.display());
            }
            flock(&changed, succeeded).await;
        }
        Ok(())
    };
    tokio::select! {
        done = watching => done,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Ends when there were changes and they are over for now.
async fn flock(changed: &Notify, succeeded: bool) {
    if succeeded {
        changed.notified().await;
    } else if tokio::time::timeout(AGAIN, changed.notified()).await.is_err() {
        return;
    }
    let last = Instant::now() + FLOCK;
    while timeout_at(last.min(Instant::now() + QUIET), changed.notified()).await.is_ok() && Instant::now() < last {}
}

/// Whether a file may be other than before. Reading one, as a sync does, is no change.
fn may_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => *access == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

fn cannot_watch(error: notify::Error) -> CliError {
    CliError::Io(std::io::Error::other(format!("the folder cannot be watched: {error}")))
}
