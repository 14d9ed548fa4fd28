//! An upload's first step: named, hashed, stored, acknowledged; and waiting until it is searchable.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::error::{Code, Problem, check_length};
use crate::model::{Document, DocumentId, DocumentStatus, Metadata};
use crate::store::{Added, Content, NewDocument};

/// The collection of documents for which the client named none.
const DEFAULT_COLLECTION: &str = "default";

/// How many characters of a text may serve as its title.
const TITLE_CHARS: usize = 80;

/// A document as a client hands it over.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// The original.
    pub bytes: Bytes,
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
    let added = app.store.add_document(accept(upload)?).await?;
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
    let document = app.store.replace_document(id, accept(upload)?).await?;
    app.signals.queued.notify_one();
    app.signals.changed.notify_one();
    app.signals.documents_changed();
    Ok(document)
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

fn accept(upload: Upload) -> Result<NewDocument, Problem> {
    if upload.bytes.is_empty() {
        return Err(Problem::new(Code::EmptyFile, "the file is empty; send one with content"));
    }
    let file_name = upload.file_name.as_deref().map(base_name).filter(|name| !name.is_empty());
    let given = upload.title.map(|title| title.trim().to_owned()).filter(|title| !title.is_empty());
    let title_given = given.is_some();
    let title = given.or_else(|| file_name.clone()).unwrap_or_else(|| first_line(&upload.bytes));
    let collection = upload.collection.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let collection = collection.unwrap_or_else(|| DEFAULT_COLLECTION.to_owned());
    check_length("title", &title, 1_000)?;
    check_length("collection", &collection, 200)?;
    let hash = Sha256::digest(&upload.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(NewDocument {
        title,
        title_given,
        collection,
        metadata: upload.metadata,
        source: upload.source,
        file_name,
        content: Content {
            bytes: upload.bytes,
            hash,
            media_type: upload.media_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        },
    })
}

/// The last part of a path, composed (file names made on macOS are decomposed).
fn base_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(name).into_owned()
}

/// A title for a text without one.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8 * TITLE_CHARS)]);
    let line = text.lines().map(|line| line.trim_matches(['#', ' ', '\u{3000}', '\t'])).find(|line| !line.is_empty());
    line.map_or_else(|| "Untitled".to_owned(), |line| line.chars().take(TITLE_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(upload: Upload, title: &str, given: bool) {
        let new = accept(upload).unwrap();
        assert_eq!((new.title.as_str(), new.title_given), (title, given));
        assert_eq!(new.collection, DEFAULT_COLLECTION);
    }

    fn upload(text: &str) -> Upload {
        Upload { bytes: Bytes::from(text.to_owned()), ..Upload::default() }
    }

    #[test]
    fn a_title_is_given_or_the_file_name_or_the_first_line() {
        check(Upload { title: Some(" 規約 ".into()), ..upload("x") }, "規約", true);
        check(Upload { file_name: Some("docs/a.md".into()), ..upload("x") }, "a.md", false);
        check(Upload { file_name: Some("か\u{3099}.txt".into()), ..upload("x") }, "が.txt", false);
        check(upload("\n# 見出し\n本文"), "見出し", false);
        check(upload(" \n "), "Untitled", false);
    }

    #[test]
    fn the_same_bytes_have_the_same_hash() {
        let hash = |text| accept(upload(text)).unwrap().content.hash;
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(hash("abc"), hash("abd"));
    }

    #[test]
    fn what_nobody_means_is_refused() {
        assert_eq!(accept(upload("")).unwrap_err().code, Code::EmptyFile);
        let long = Upload { collection: Some("x".repeat(201)), ..upload("x") };
        assert_eq!(accept(long).unwrap_err().param.as_deref(), Some("collection"));
    }
}
