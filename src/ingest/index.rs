//! The index follows the change log; and an index that is built anew follows it from the beginning, beside the one that
//! serves, until it has caught up and takes its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::rest;
use crate::app::App;
use crate::error::Problem;
use crate::search::{Change, DocumentState, IndexedDocument};
use crate::store::{LoggedChange, PresentDocument};

/// About how many passages go into one commit of the index: enough to make commits rare in bulk, few enough to keep
/// the memory of a batch small.
const BATCH_PASSAGES: usize = 4_000;

pub(super) async fn follow(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let advanced = match index_changes(&app).await {
            // Batches take turns, so that documents go on becoming searchable during a rebuild.
            Ok(advanced) => rebuild_further(&app).await.map(|rebuilding| advanced || rebuilding),
            Err(problem) => Err(problem),
        };
        match advanced {
            Ok(true) => {}
            Ok(false) => tokio::select! {
                () = app.signals.changed.notified() => {}
                () = stop.cancelled() => {}
            },
            Err(problem) => {
                tracing::error!(code = problem.code.as_str(), "indexing stopped for a moment");
                rest(&stop).await;
            }
        }
    }
}

/// Applies the next batch of the change log to the index and marks its documents ready. Returns whether there was
/// anything to apply.
///
/// # Errors
/// Where the store or the index cannot be used.
pub async fn index_changes(app: &App) -> Result<bool, Problem> {
    let applied = app.search.applied().await?;
    let changes = app.store.changes_after(applied, BATCH_PASSAGES).await?;
    if let Some(last) = changes.last().map(|change| change.seq) {
        let documents = changes.len();
        app.search.apply(changes.into_iter().map(to_index).collect()).await?;
        tracing::debug!(documents, seq = last, "index committed");
    }
    // Also without changes: a crash may have come between a commit and its marks.
    let ready = app.store.mark_searchable(app.search.applied().await?).await?;
    let now = app.search.applied().await?;
    // From now on the texts up to here are those that serve, and may be embedded.
    let before = app.signals.searchable.swap(now, Ordering::AcqRel);
    let advanced = now > applied;
    if advanced || !ready.is_empty() {
        app.signals.documents_changed();
    }
    // The first look after a start finds nothing to apply, and yet vectors may be missing: those of a new model.
    if before != now {
        app.signals.indexed.notify_one();
    }
    Ok(advanced)
}

/// Builds the index anew beside the one that serves; returns when the new one serves.
///
/// # Errors
/// Where the index cannot be written, or the server stops first.
pub async fn reindex(app: &App) -> Result<(), Problem> {
    let mut changed = app.signals.settled.subscribe();
    app.search.begin_rebuild().await?;
    app.signals.changed.notify_one();
    while app.search.rebuilt_to().await?.is_some() {
        // The sender lives as long as the app.
        let _ = changed.changed().await;
    }
    Ok(())
}

/// Ends when the index has followed the log as far as it goes now.
///
/// # Errors
/// Where the store or the index cannot be read.
pub async fn caught_up(app: &App) -> Result<(), Problem> {
    let last = app.store.last_change().await?;
    let mut changed = app.signals.settled.subscribe();
    app.signals.changed.notify_one();
    while app.search.applied().await? < last {
        // The sender lives as long as the app.
        let _ = changed.changed().await;
    }
    Ok(())
}

/// Takes the index that is built anew one batch on, if there is one. Returns whether there was.
async fn rebuild_further(app: &App) -> Result<bool, Problem> {
    let Some(applied) = app.search.rebuilt_to().await? else { return Ok(false) };
    let changes = app.store.changes_after(applied, BATCH_PASSAGES).await?;
    if changes.is_empty() {
        app.search.finish_rebuild().await?;
        tracing::info!("the index was built anew and serves");
    } else {
        app.search.apply_to_rebuild(changes.into_iter().map(to_index).collect()).await?;
    }
    app.signals.documents_changed();
    Ok(true)
}

fn to_index(change: LoggedChange) -> Change {
    let state =
        change.present.map_or(DocumentState::Absent, |document| DocumentState::Present(Arc::new(indexed(document))));
    Change { seq: change.seq, document_id: change.document_id, state }
}

pub(super) fn indexed(document: PresentDocument) -> IndexedDocument {
    let PresentDocument { title, collection, facets, file_name, language, passages } = document;
    IndexedDocument { title, collection, facets, file_name, language, passages }
}
