//! Uploaded document → searchable.
//!
//! [`submit`] stores an upload, queued. [`run`] lets several workers take the oldest queued document, extract its text,
//! cut it into passages and store them, which logs a change. Beside them one indexer applies the change log to the
//! index in batches ([`index_changes`]) and marks as ready what the index has committed. Where there is an embedding
//! model, the vectors follow in the background ([`embed`]). [`verify`] checks all of it.

mod embed;
pub mod extract;
mod index;
pub mod passages;
mod spool;
mod upload;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use index::{caught_up, index_changes, reindex};
pub use spool::{Spool, Spooled};
pub use upload::{About, Upload, collection_name, replace, settle, submit};

use self::extract::{Extracted, Extractor, Input, Ocr};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::model::{Passage, PassageId};
use crate::store::{Claimed, ExtractedDocument, StoreError};

/// Documents in work for each processor. Extraction keeps the processors busy with one each; the others wait for the
/// disk, together, so that one commit serves many.
const IN_WORK: usize = 8;

/// Originals that extraction may hold in memory at once, in KiB; one that is larger is alone.
const IN_MEMORY_KIB: u32 = 256 * 1024;

/// How long a worker rests after the store or the index failed.
const REST: Duration = Duration::from_secs(1);

/// What extraction works with, and what bounds it.
struct Means {
    extractor: Extractor,
    processors: Semaphore,
    memory: Semaphore,
}

/// Works on queued documents and keeps the index up to date until told to stop. Documents in work at that moment are
/// finished or, after a crash, taken up again at the next start.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let means = Arc::new(Means {
        extractor: Extractor::new(app.worker_program.clone()).with_ocr(ocr(&app).await),
        processors: Semaphore::new(processors),
        memory: Semaphore::new(IN_MEMORY_KIB as usize),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..processors * IN_WORK {
        tasks.spawn(work(Arc::clone(&app), Arc::clone(&means), stop.clone()));
    }
    tasks.spawn(index::follow(Arc::clone(&app), stop.clone()));
    tasks.spawn(async move { embed::follow(&app, &stop).await });
    tasks.join_all().await;
}

/// What reads scans, where the settings allow it and it is installed.
async fn ocr(app: &App) -> Option<Ocr> {
    let found = if app.config.ocr { Ocr::find().await } else { None };
    if let Some(ocr) = &found {
        tracing::info!(languages = ocr.languages(), "scans and images are read by tesseract");
    }
    found
}

async fn work(app: Arc<App>, means: Arc<Means>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match app.store.claim_document().await {
            Ok(Some(claimed)) => {
                // There may be more for the other workers.
                app.signals.queued.notify_one();
                step(&app, &means, &claimed, &stop).await;
            }
            Ok(None) => tokio::select! {
                () = app.signals.queued.notified() => {}
                () = stop.cancelled() => {}
            },
            Err(error) => {
                tracing::error!(%error, "no document can be taken up for a moment");
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

/// Takes a claimed document to extracted or failed; where neither can be kept, gives it back.
async fn step(app: &App, means: &Means, claimed: &Claimed, stop: &CancellationToken) {
    let read = tokio::select! {
        // A fault of ours on one document must not end the worker and leave the document in its hands.
        read = std::panic::AssertUnwindSafe(read(app, means, claimed)).catch_unwind() => read,
        () = stop.cancelled() => return give_back(app, claimed, stop).await,
    };
    let id = claimed.document.id;
    let read = read.unwrap_or_else(|_| {
        Err(Unread::Failed(Problem::new(
            Code::ExtractionCrashed,
            "reading the document stopped at a fault of the server",
        )))
    });
    let kept = match read {
        Ok(found) => app.store.keep_extraction(claimed, found).await,
        Err(Unread::Failed(problem)) => {
            tracing::info!(document = %id, code = problem.code.as_str(), "document failed");
            app.store.fail_document(claimed, problem).await
        }
        Err(Unread::Store(error)) => Err(error),
    };
    match kept {
        Ok(Some(document)) => {
            tracing::debug!(document = %id, passages = document.passages, "document extracted");
            app.signals.changed.notify_one();
            app.signals.documents_changed();
        }
        // Replaced or deleted meanwhile.
        Ok(None) => {}
        Err(error) => {
            tracing::error!(document = %id, %error, "the work on a document could not be kept");
            rest(stop).await;
            give_back(app, claimed, stop).await;
        }
    }
}

/// Queues a document again that nobody works on any more. Not to be able to do so is no reason to forget it.
async fn give_back(app: &App, claimed: &Claimed, stop: &CancellationToken) {
    loop {
        match app.store.release_claim(claimed).await {
            Ok(Some(_)) => {
                app.signals.queued.notify_one();
                return;
            }
            Ok(None) => return,
            // The next start releases what this process cannot.
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                tracing::error!(document = %claimed.document.id, %error, "a claim could not be released");
                rest(stop).await;
            }
        }
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
    let stray = app.store.forget_stray_parts().await?;
    if stray > 0 {
        tracing::info!(uploads = stray, "forgot uploads that were broken off");
    }
    let (applied, last) = (app.search.applied().await?, app.store.last_change().await?);
    if applied > last {
        tracing::warn!(applied, last, "the index is ahead of the store; rebuilding it");
        app.search.clear().await?;
    }
    Ok(())
}

/// Why there is no text of a document.
enum Unread {
    /// It cannot be read.
    Failed(Problem),
    /// The store does not hand it out.
    Store(StoreError),
}

impl From<Problem> for Unread {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Extracts a document's text and cuts it into passages.
async fn read(app: &App, means: &Means, claimed: &Claimed) -> Result<ExtractedDocument, Unread> {
    let kib = u32::try_from(claimed.document.bytes / 1024 + 1).unwrap_or(IN_MEMORY_KIB).min(IN_MEMORY_KIB);
    // Neither is ever closed.
    let _memory = means.memory.acquire_many(kib).await;
    let _processor = means.processors.acquire().await;
    let input = Input {
        bytes: original(app, claimed).await?,
        name: claimed.file_name.clone(),
        declared_type: Some(claimed.document.media_type.clone()),
    };
    let extracted = means.extractor.extract(input).await.map_err(Problem::from)?;
    let id = claimed.document.id;
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
    let Extracted { text, title, media_type, language, warnings, .. } = extracted;
    Ok(ExtractedDocument { title, media_type, language, text, passages, warnings })
}

/// A claimed document's bytes. Fewer where it was replaced meanwhile: what is made of them counts for nothing then.
async fn original(app: &App, claimed: &Claimed) -> Result<Bytes, StoreError> {
    let first = app.store.part(claimed.content, 0).await?.unwrap_or_default();
    if first.len() as u64 >= claimed.document.bytes {
        return Ok(first);
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(claimed.document.bytes).unwrap_or_default());
    bytes.extend_from_slice(&first);
    for ordinal in 1.. {
        let Some(part) = app.store.part(claimed.content, ordinal).await? else { break };
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}
