//! Uploaded document → searchable.
//!
//! [`submit`] stores an upload, queued. [`run`] lets several workers [`step`]: take the oldest queued document, extract
//! its text, cut it into passages and store them, which logs a change. Beside them one indexer applies the change
//! log to the index in batches ([`index_changes`]) and marks as ready what the index has committed. Where there is an
//! embedding model, the vectors follow in the background ([`embed`]).

mod embed;
pub mod extract;
pub mod passages;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use upload::{Upload, replace, settle, submit};

use self::extract::{Extracted, Extractor, Input};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::model::{Passage, PassageId};
use crate::search::{Change, DocumentState, IndexedDocument};
use crate::store::{Claimed, ExtractedDocument, LoggedChange};

/// About how many passages go into one commit of the index: enough to make commits rare in bulk, few enough to keep
/// the memory of a batch small.
const BATCH_PASSAGES: usize = 4_000;

/// How long a worker rests after the store or the index failed.
const REST: Duration = Duration::from_secs(1);

/// Works on queued documents and keeps the index up to date until told to stop. Documents in work at that moment are
/// finished or, after a crash, taken up again at the next start.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let extractors = std::thread::available_parallelism().map_or(2, usize::from);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..extractors {
        tasks.spawn(extract_queued(Arc::clone(&app), stop.clone()));
    }
    tasks.spawn(follow_changes(Arc::clone(&app), stop.clone()));
    tasks.spawn(async move { embed::follow(&app, &stop).await });
    tasks.join_all().await;
}

async fn extract_queued(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match step(&app).await {
            Ok(true) => {}
            Ok(false) => tokio::select! {
                () = app.signals.queued.notified() => {}
                () = stop.cancelled() => {}
            },
            Err(problem) => {
                tracing::error!(code = problem.code.as_str(), "ingesting stopped for a moment");
                rest(&stop).await;
                // What this worker had claimed has nobody working on it.
                if let Err(error) = app.store.release_claims().await {
                    tracing::error!(%error, "claims could not be released");
                }
            }
        }
    }
}

async fn follow_changes(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match index_changes(&app).await {
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

async fn rest(stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(REST) => {}
        () = stop.cancelled() => {}
    }
}

/// Takes up what an earlier process left: documents that it had claimed are queued again, and an index that is ahead
/// of the store (the store was restored from a backup) is emptied, to be filled from the store.
///
/// # Errors
/// Where the store or the index cannot be used.
pub async fn recover(app: &App) -> Result<(), Problem> {
    let released = app.store.release_claims().await?;
    if released > 0 {
        tracing::info!(documents = released, "taking up interrupted documents again");
    }
    let (applied, last) = (app.search.applied().await?, app.store.last_change().await?);
    if applied > last {
        tracing::warn!(applied, last, "the index is ahead of the store; rebuilding it");
        app.search.clear().await?;
    }
    Ok(())
}

/// Takes the oldest queued document to extracted or failed. Returns whether there was one.
///
/// # Errors
/// Where the store cannot be used; a document that cannot be read is a stored failure, not an error.
pub async fn step(app: &App) -> Result<bool, Problem> {
    let Some(claimed) = app.store.claim_document().await? else { return Ok(false) };
    // There may be more for the other workers.
    app.signals.queued.notify_one();
    app.signals.documents_changed();
    match read(app, &claimed).await {
        Ok(found) => {
            let passages = found.passages.len();
            app.store.keep_extraction(&claimed, found).await?;
            tracing::debug!(document = %claimed.id, passages, "document extracted");
            app.signals.changed.notify_one();
        }
        Err(problem) => {
            tracing::info!(document = %claimed.id, code = problem.code.as_str(), "document failed");
            app.store.fail_document(&claimed, problem).await?;
            // An earlier content of it may have to leave the index.
            app.signals.changed.notify_one();
        }
    }
    app.signals.documents_changed();
    Ok(true)
}

/// Extracts a document's text and cuts it into passages.
async fn read(app: &App, claimed: &Claimed) -> Result<ExtractedDocument, Problem> {
    let input = Input {
        bytes: claimed.bytes.clone(),
        name: claimed.file_name.clone(),
        declared_type: Some(claimed.media_type.clone()),
    };
    let extracted = Extractor::new(app.worker_program.clone()).extract(input).await?;
    let id = claimed.id;
    let cut = move || {
        let drafts = passages::cut(&extracted);
        (extracted, drafts)
    };
    let (extracted, drafts) = tokio::task::spawn_blocking(cut)
        .await
        .map_err(|_| Problem::new(Code::ExtractionCrashed, "the text could not be cut into passages"))?;
    let passages = drafts
        .into_iter()
        .zip(0..)
        .map(|(draft, ordinal)| Passage {
            id: PassageId { document_id: id, ordinal },
            text: draft.text,
            start: draft.start,
            end: draft.end,
            page: draft.page,
            heading: draft.heading,
        })
        .collect();
    let Extracted { text, title, media_type, language, .. } = extracted;
    Ok(ExtractedDocument { title, media_type, language, text, passages })
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
    let marked = app.store.mark_searchable(app.search.applied().await?).await?;
    let advanced = app.search.applied().await? > applied;
    if advanced {
        app.signals.indexed.notify_one();
    }
    if marked > 0 || advanced {
        app.signals.documents_changed();
    }
    Ok(advanced)
}

fn to_index(change: LoggedChange) -> Change {
    let state = change.present.map_or(DocumentState::Absent, |document| {
        DocumentState::Present(Arc::new(IndexedDocument {
            title: document.title,
            collection: document.collection,
            passages: document.passages,
        }))
    });
    Change { seq: change.seq, document_id: change.document_id, state }
}
