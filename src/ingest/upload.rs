//! An upload's first step: named, hashed, stored, acknowledged; and waiting until it is searchable.

use std::sync::Arc;

use super::spool::Spooled;
use crate::app::App;
use crate::error::{Code, Problem, check_length};
use crate::model::{ContentId, Document, DocumentId, DocumentStatus, Metadata};
use crate::store::{Added, Content, NewDocument, Original, Store};

/// The collection of documents for which the client named none.
const DEFAULT_COLLECTION: &str = "default";

/// How many characters of a text may serve as its title.
const TITLE_CHARS: usize = 80;

/// A part of an original in the store, in bytes; smaller ones are kept whole.
const PART: usize = 4 << 20;

/// A document as a client hands it over.
#[derive(Debug)]
pub struct Upload {
    /// The original.
    pub content: Spooled,
    /// What the client says of it.
    pub about: About,
}

/// What a client says of a document.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The file's name.
    pub file_name: Option<String>,
    /// What the client says it is.
    pub media_type: Option<String>,
    /// The client's own title.
    pub title: Option<String>,
    /// The named set that it goes into.
    pub collection: Option<String>,
    /// The client's own fields.
    pub metadata: Metadata,
    /// Where it came from.
    pub source: Option<String>,
}

/// Stores an upload, queued, and wakes the workers. From then on it is not lost.
///
/// # Errors
/// Empty files, names that are too long, and a store that cannot be written.
pub async fn submit(app: &App, upload: Upload) -> Result<Added, Problem> {
    let accepted = accept(upload).await?;
    // Known bytes need not be copied into the store to find that out.
    if accepted.content.size > PART as u64 {
        let hashes = [accepted.content.hash.clone()];
        if let Some(document) = app.store.documents_with(&accepted.collection, &hashes).await?.pop() {
            return Ok(Added { document, duplicate: true });
        }
    }
    let (new, mut unfinished) = keep_content(app, accepted).await?;
    let added = app.store.add_document(new).await?;
    unfinished.content = None;
    if !added.duplicate {
        app.signals.queued.notify_one();
    }
    Ok(added)
}

/// Stores new content under an existing id, queued.
///
/// # Errors
/// As [`submit`]; also where there is no such document or another one has the same content.
pub async fn replace(app: &App, id: DocumentId, upload: Upload) -> Result<Document, Problem> {
    let (new, mut unfinished) = keep_content(app, accept(upload).await?).await?;
    let document = app.store.replace_document(id, new).await?;
    unfinished.content = None;
    app.signals.queued.notify_one();
    app.signals.changed.notify_one();
    app.signals.documents_changed();
    Ok(document)
}

/// Parts in the store that have no document yet: forgotten where it comes to none, also because the client left.
struct Unfinished {
    store: Arc<dyn Store>,
    content: Option<ContentId>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let (Some(content), Ok(runtime)) = (self.content.take(), tokio::runtime::Handle::try_current()) {
            let store = Arc::clone(&self.store);
            runtime.spawn(async move {
                // What stays is forgotten at the next start.
                let _ = store.forget_parts(content).await;
            });
        }
    }
}

/// Copies a large original into the store, in many short writes; a small one goes with its document's row.
async fn keep_content(app: &App, accepted: Accepted) -> Result<(NewDocument, Unfinished), Problem> {
    let Accepted { title, title_given, collection, about, mut content } = accepted;
    let mut unfinished = Unfinished { store: Arc::clone(&app.store), content: None };
    let original = if content.size <= PART as u64 {
        Original::Whole(content.read(0, PART).await?)
    } else {
        let id = ContentId::new();
        unfinished.content = Some(id);
        let starts = (0..content.size).step_by(PART);
        for (start, ordinal) in starts.zip(0..) {
            app.store.keep_part(id, ordinal, content.read(start, PART).await?).await?;
        }
        Original::Kept { content: id, bytes: content.size }
    };
    let media_type = about.media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let new = NewDocument {
        title,
        title_given,
        collection,
        metadata: about.metadata,
        source: about.source,
        file_name: about.file_name,
        content: Content { original, hash: content.hash, media_type },
    };
    Ok((new, unfinished))
}

/// Ends when each document is ready, failed or gone.
///
/// # Errors
/// Where the store cannot be read.
pub async fn settle(app: &App, ids: &[DocumentId]) -> Result<(), Problem> {
    let mut settled = app.signals.settled.subscribe();
    for id in ids {
        loop {
            settled.borrow_and_update();
            match app.store.document(*id).await.map_err(Problem::from) {
                Ok(document) if matches!(document.status, DocumentStatus::Ready | DocumentStatus::Failed) => break,
                Ok(_) => {}
                Err(problem) if problem.code == Code::DocumentNotFound => break,
                Err(problem) => return Err(problem),
            }
            // The sender lives as long as the app.
            let _ = settled.changed().await;
        }
    }
    Ok(())
}

/// An upload whose names are checked and made definite.
struct Accepted {
    title: String,
    title_given: bool,
    collection: String,
    about: About,
    content: Spooled,
}

async fn accept(upload: Upload) -> Result<Accepted, Problem> {
    let Upload { mut content, about } = upload;
    if content.size == 0 {
        return Err(Problem::new(Code::EmptyFile, "the file is empty; send one with content"));
    }
    let file_name = about.file_name.as_deref().map(base_name).filter(|name| !name.is_empty());
    let given = about.title.as_ref().map(|title| title.trim().to_owned()).filter(|title| !title.is_empty());
    let title_given = given.is_some();
    let title = match given.or_else(|| file_name.clone()) {
        Some(title) => title,
        None => first_line(&content.read(0, 8 * TITLE_CHARS).await?),
    };
    let collection = collection_name(about.collection.clone());
    check_length("title", &title, 1_000)?;
    check_length("collection", &collection, 200)?;
    check_length("source", about.source.as_deref().unwrap_or_default(), 8_000)?;
    Ok(Accepted { title, title_given, collection, about: About { file_name, ..about }, content })
}

/// The collection that a client means, the default one where it names none.
pub fn collection_name(named: Option<String>) -> String {
    let named = named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| DEFAULT_COLLECTION.to_owned())
}

/// The last part of a path, composed (file names made on macOS are decomposed).
fn base_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(name).into_owned()
}

/// A title for a text without one.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(|line| line.trim_matches(['#', ' ', '\u{3000}', '\t'])).find(|line| !line.is_empty());
    line.map_or_else(|| "Untitled".to_owned(), |line| line.chars().take(TITLE_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn check(about: About, text: &'static str, title: &str, given: bool) {
        let accepted = accept(upload(about, text)).await.unwrap();
        assert_eq!((accepted.title.as_str(), accepted.title_given), (title, given));
        assert_eq!(accepted.collection, DEFAULT_COLLECTION);
    }

    fn upload(about: About, text: &'static str) -> Upload {
        Upload { content: Bytes::from(text).into(), about }
    }

    #[tokio::test]
    async fn a_title_is_given_or_the_file_name_or_the_first_line() {
        check(About { title: Some(" 規約 ".into()), ..About::default() }, "x", "規約", true).await;
        check(About { file_name: Some("docs/a.md".into()), ..About::default() }, "x", "a.md", false).await;
        check(About { file_name: Some("か\u{3099}.txt".into()), ..About::default() }, "x", "が.txt", false).await;
        check(About::default(), "\n# 見出し\n本文", "見出し", false).await;
        check(About::default(), " \n ", "Untitled", false).await;
    }

    #[tokio::test]
    async fn what_nobody_means_is_refused() {
        let refused = async |about, text| accept(upload(about, text)).await.err().unwrap();
        assert_eq!(refused(About::default(), "").await.code, Code::EmptyFile);
        let long = About { collection: Some("x".repeat(201)), ..About::default() };
        assert_eq!(refused(long, "x").await.param.as_deref(), Some("collection"));
    }
}
