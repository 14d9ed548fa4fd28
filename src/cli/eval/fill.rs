//! A collection's documents into the server, and which stored document stands for which of the collection's.
//!
//! The second is kept beside the data, a line a document, so that a kept folder can be used again. Documents wait in
//! the server's queue on disk, so the memory that this takes does not grow with their texts.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::collection::{CorpusDocument, Documents, composed, corpus};
use crate::cli::client::Client;
use crate::cli::{CliError, ingest};
use crate::model::DocumentId;

/// Documents of one request, and about how many bytes of text they hold at the most.
const BATCH_DOCUMENTS: usize = 250;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Between looks at how far the server is.
const POLL: Duration = Duration::from_millis(150);

/// Says which stored document stands for which of the collection's; complete once its last line says so.
const NAMES_FILE: &str = "eval-documents.tsv";
const COMPLETE: &str = "complete";

/// A collection that can be searched.
#[derive(Default)]
pub(super) struct Filled {
    /// The collection's ids of each stored document; several where they have the same content.
    pub(super) ids: HashMap<DocumentId, Vec<String>>,
    /// Documents that are empty or could not be read.
    pub(super) failed: usize,
}

/// Ingests a collection, or finds what an earlier run kept in `keep`.
pub(super) async fn fill(client: &Client, documents: &Documents, keep: &Path) -> Result<Filled, CliError> {
    let names = keep.join(NAMES_FILE);
    let source = match documents {
        Documents::Corpus(path) | Documents::Files(path) => std::path::absolute(path)?,
    };
    if let Some(filled) = read_names(&names, &source)? {
        return Ok(filled);
    }
    let mut filled = Filled::default();
    let mut kept = Names { file: BufWriter::new(File::create(&names)?), filled: &mut filled };
    kept.line(&source.to_string_lossy(), "")?;
    match documents {
        Documents::Corpus(path) => fill_corpus(client, path, &mut kept).await?,
        Documents::Files(path) => fill_files(client, path, &mut kept).await?,
    }
    kept.line(COMPLETE, &kept.filled.failed.to_string())?;
    kept.file.flush()?;
    Ok(filled)
}

/// Notes names in memory and on disk.
struct Names<'a> {
    file: BufWriter<File>,
    filled: &'a mut Filled,
}

impl Names<'_> {
    fn note(&mut self, stored: DocumentId, id: String) -> std::io::Result<()> {
        self.line(&stored.to_string(), &id)?;
        self.filled.ids.entry(stored).or_default().push(id);
        Ok(())
    }

    fn line(&mut self, first: &str, second: &str) -> std::io::Result<()> {
        writeln!(self.file, "{first}\t{second}")
    }
}

async fn fill_corpus(client: &Client, path: &Path, names: &mut Names<'_>) -> Result<(), CliError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for document in corpus(path)? {
        let document = document?;
        bytes += document.text.len();
        batch.push(document);
        if batch.len() >= BATCH_DOCUMENTS || bytes >= BATCH_BYTES {
            upload(client, std::mem::take(&mut batch), names).await?;
            bytes = 0;
        }
    }
    upload(client, batch, names).await?;
    wait(client).await?;
    let unread: Value = client.get("/api/documents", &[("status", "failed"), ("limit", "1")]).await?;
    names.filled.failed += usize::try_from(unread["total"].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
    Ok(())
}

async fn upload(client: &Client, batch: Vec<CorpusDocument>, names: &mut Names<'_>) -> Result<(), CliError> {
    let mut ids = Vec::with_capacity(batch.len());
    let mut documents = Vec::with_capacity(batch.len());
    for CorpusDocument { id, title, text } in batch {
        let title = title.filter(|title| !title.trim().is_empty());
        // A title alone is still something to find.
        let text = if text.trim().is_empty() { title.clone().unwrap_or_default() } else { text };
        if text.is_empty() {
            names.filled.failed += 1;
            continue;
        }
        let id = id.composed();
        documents.push(match title {
            Some(title) => json!({"title": title.chars().take(1_000).collect::<String>(), "text": text}),
            None => json!({"text": text}),
        });
        ids.push(id);
    }
    if documents.is_empty() {
        return Ok(());
    }
    let reply: Value = client.post("/api/documents", &json!({"documents": documents})).await?;
    let outcomes = reply["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (id, outcome) in ids.into_iter().zip(outcomes) {
        match outcome["id"].as_str().and_then(|stored| stored.parse().ok()) {
            Some(stored) => names.note(stored, id)?,
            None => names.filled.failed += 1,
        }
    }
    Ok(())
}

async fn fill_files(client: &Client, folder: &Path, names: &mut Names<'_>) -> Result<(), CliError> {
    for outcome in ingest::ingest(client, &[folder.to_owned()], None).await? {
        let ready = outcome.id.as_deref().and_then(|id| id.parse().ok()).filter(|_| outcome.status == "ready");
        match ready {
            Some(stored) => names.note(stored, file_id(folder, &outcome.path))?,
            None => names.filled.failed += 1,
        }
    }
    Ok(())
}

/// A file's path below the folder, its parts joined by `/`.
fn file_id(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    composed(&parts.join("/"))
}

/// Waits until the server has nothing queued or in work.
async fn wait(client: &Client) -> Result<(), CliError> {
    loop {
        let mut left = 0;
        for status in ["queued", "processing"] {
            let list: Value = client.get("/api/documents", &[("status", status), ("limit", "1")]).await?;
            left += list["total"].as_u64().unwrap_or_default();
        }
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What an earlier run kept; `None` where it kept nothing or did not come to its end.
fn read_names(path: &Path, source: &Path) -> Result<Option<Filled>, CliError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut lines = text.lines().filter_map(|line| line.split_once('\t'));
    match lines.next() {
        Some((of, _)) if of == source.to_string_lossy() => {}
        _ => {
            return Err(CliError::Usage(format!(
                "{} holds another collection; name another folder with --keep",
                path.parent().unwrap_or(path).display()
            )));
        }
    }
    let mut filled = Filled::default();
    for (stored, id) in lines {
        if stored == COMPLETE {
            filled.failed = id.parse().unwrap_or_default();
            return Ok(Some(filled));
        }
        if let Ok(stored) = stored.parse() {
            filled.ids.entry(stored).or_default().push(id.to_owned());
        }
    }
    Ok(None)
}
