//! The index inside the process, by tantivy.
//!
//! Each commit carries the last applied `seq` and the versions of analyser and schema. An index that cannot be read,
//! or that another version made, is thrown away: it is derived data, and `applied` of 0 asks for a replay.

mod candidates;
mod loanwords;
mod narrow;
mod postings;
mod query;
mod rank;
mod respelling;
mod schema;
mod segment;
mod statistics;
mod terms;
mod translations;
mod window;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ::tantivy::indexer::UserOperation;
use ::tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError, Term};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::query::Question;
use self::schema::Fields;
use self::statistics::Snapshot;
use super::{Change, DocumentHit, DocumentState, Inventory, Search, SearchError, SearchQuery, analyzer};

/// Memory of the writer before it writes a segment, in bytes.
const WRITER_BYTES: usize = 96 << 20;

/// An index in a directory of its own. One process at a time may hold it.
#[derive(Clone)]
pub struct TantivySearch {
    inner: Arc<Inner>,
}

struct Inner {
    fields: Fields,
    index: Index,
    reader: IndexReader,
    /// What searches see: replaced after each commit.
    snapshot: RwLock<Arc<Snapshot>>,
    /// None after a failed write, which leaves a writer unusable; the next write makes a new one.
    writer: Mutex<Option<IndexWriter>>,
    applied: AtomicU64,
    /// Names the change log that is applied.
    log: String,
    /// The version of the analyser that made it.
    analyzer: u32,
}

/// What a commit says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
    seq: u64,
    #[serde(default)]
    log: String,
    analyzer: u32,
    schema: u32,
}

impl TantivySearch {
    /// Opens the index of the change log named `log` in `directory`, which is made if it is missing and emptied if its
    /// index is damaged, of another version or of another log. Blocks: reads the whole index once to find damage.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, or another process holds the index.
    pub fn open(directory: &Path, log: &str) -> Result<Self, SearchError> {
        fs::create_dir_all(directory).map_err(unavailable)?;
        Self::open_or_create(directory, log, false)
    }

    /// The same; but an index that another version of the analyser made is kept, to serve until another one is built.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_outdated(directory: &Path, log: &str) -> Result<Self, SearchError> {
        fs::create_dir_all(directory).map_err(unavailable)?;
        Self::open_or_create(directory, log, true)
    }

    /// Whether another version of the analyser made it.
    pub fn is_outdated(&self) -> bool {
        self.inner.analyzer != analyzer::VERSION
    }

    fn open_or_create(directory: &Path, log: &str, outdated: bool) -> Result<Self, SearchError> {
        match Inner::open(directory, log, outdated) {
            Ok(inner) => return Ok(Self { inner: Arc::new(inner) }),
            Err(Unusable::Held(error)) => return Err(error),
            Err(Unusable::New) => {}
            Err(Unusable::Discard(reason)) => {
                tracing::warn!(reason, "the index is not usable and will be built again");
            }
        }
        Self::create(directory, log).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// Removes the files of an index from a directory, and nothing else in it.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub fn remove_from(directory: &Path) -> Result<(), SearchError> {
        remove_files(directory).map_err(unavailable)
    }

    fn create(directory: &Path, log: &str) -> Result<Inner, SearchError> {
        remove_files(directory).map_err(unavailable)?;
        let (schema, fields) = Fields::new();
        let index = Index::create_in_dir(directory, schema).map_err(unavailable)?;
        Inner::new(index, fields, log, 0, analyzer::VERSION).map_err(unavailable)
    }
}

#[async_trait]
impl Search for TantivySearch {
    async fn apply(&self, changes: Vec<Change>) -> Result<(), SearchError> {
        self.blocking(move |inner| inner.apply(&changes)).await
    }

    async fn applied(&self) -> Result<u64, SearchError> {
        Ok(self.inner.applied.load(Ordering::Acquire))
    }

    async fn clear(&self) -> Result<(), SearchError> {
        self.blocking(Inner::clear).await
    }

    async fn inventory(&self) -> Result<Inventory, SearchError> {
        self.blocking(|inner| {
            let snapshot = {
                // No commit meanwhile: the number and the state belong together.
                let _writer = inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
                (
                    inner.applied.load(Ordering::Acquire),
                    Arc::clone(&inner.snapshot.read().unwrap_or_else(PoisonError::into_inner)),
                )
            };
            Ok(Inventory { applied: snapshot.0, documents: rank::holdings(&snapshot.1.searcher)? })
        })
        .await
    }

    async fn search(&self, query: SearchQuery) -> Result<Vec<DocumentHit>, SearchError> {
        self.blocking(move |inner| inner.search(&query)).await
    }
}

impl TantivySearch {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> ::tantivy::Result<T> + Send + 'static,
    ) -> Result<T, SearchError> {
        let inner = Arc::clone(&self.inner);
        let span = tracing::Span::current();
        // A panic inside tantivy, on a file that changed under it, ends as an error of this call alone.
        tokio::task::spawn_blocking(move || span.in_scope(|| work(&inner)))
            .await
            .map_err(unavailable)?
            .map_err(unavailable)
    }
}

/// Why an index was not opened.
enum Unusable {
    /// Another process has it, or it cannot be written.
    Held(SearchError),
    /// There is none.
    New,
    /// It is damaged or of another version.
    Discard(String),
}

impl Inner {
    fn new(index: Index, fields: Fields, log: &str, applied: u64, analyzer: u32) -> ::tantivy::Result<Self> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let writer = Mutex::new(Some(Self::writer(&index)?));
        let snapshot = RwLock::new(Arc::new(Snapshot::new(reader.searcher(), &fields, None)?));
        let applied = AtomicU64::new(applied);
        Ok(Self { fields, index, reader, snapshot, writer, applied, log: log.to_owned(), analyzer })
    }

    fn writer(index: &Index) -> ::tantivy::Result<IndexWriter> {
        // One thread: equal changes give equal indexes, and analysis takes longer than writing anyway.
        index.writer_with_num_threads(1, WRITER_BYTES)
    }

    fn open(directory: &Path, log: &str, outdated: bool) -> Result<Self, Unusable> {
        let discard = |error: TantivyError| Unusable::Discard(error.to_string());
        if !directory.join("meta.json").exists() {
            return Err(Unusable::New);
        }
        let index = Index::open_in_dir(directory).map_err(discard)?;
        let (schema, fields) = Fields::new();
        let payload = index.load_metas().map_err(discard)?.payload;
        let payload: Option<Payload> = payload.and_then(|payload| serde_json::from_str(&payload).ok());
        if payload.is_none() && index.load_metas().map_err(discard)?.segments.is_empty() {
            return Err(Unusable::New);
        }
        let analyzer = payload.as_ref().map_or(0, |payload| payload.analyzer);
        let same_schema = index.schema() == schema && payload.as_ref().is_some_and(|p| p.schema == schema::VERSION);
        if !same_schema || (analyzer != analyzer::VERSION && !outdated) {
            return Err(Unusable::Discard("another version made it".to_owned()));
        }
        if payload.as_ref().is_none_or(|payload| payload.log != log) {
            return Err(Unusable::Discard("it belongs to another database".to_owned()));
        }
        let damaged = index.validate_checksum().map_err(discard)?;
        if !damaged.is_empty() {
            return Err(Unusable::Discard(format!("{} of its files are damaged", damaged.len())));
        }
        Self::new(index, fields, log, payload.map_or(0, |payload| payload.seq), analyzer).map_err(|error| {
            if matches!(error, TantivyError::LockFailure(..)) {
                Unusable::Held(unavailable(error))
            } else {
                discard(error)
            }
        })
    }

    fn apply(&self, changes: &[Change]) -> ::tantivy::Result<()> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = self.applied.load(Ordering::Acquire);
        let changes: Vec<&Change> = changes.iter().filter(|change| change.seq > applied).collect();
        let Some(last) = changes.last().map(|change| change.seq) else { return Ok(()) };
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => Self::writer(&self.index)?,
        };
        for change in changes {
            self.write(&writer, change)?;
        }
        self.commit(&mut writer, last)?;
        *slot = Some(writer);
        Ok(())
    }

    fn clear(&self) -> ::tantivy::Result<()> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => Self::writer(&self.index)?,
        };
        writer.delete_all_documents()?;
        self.commit(&mut writer, 0)?;
        *slot = Some(writer);
        Ok(())
    }

    /// Makes what was written durable and searchable, and remembers how far the log is applied.
    fn commit(&self, writer: &mut IndexWriter, seq: u64) -> ::tantivy::Result<()> {
        let payload = Payload { seq, log: self.log.clone(), analyzer: self.analyzer, schema: schema::VERSION };
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(
            &serde_json::to_string(&payload).map_err(|error| TantivyError::InternalError(error.to_string()))?,
        );
        commit.commit()?;
        self.reader.reload()?;
        let before = Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner));
        let snapshot = Arc::new(Snapshot::new(self.reader.searcher(), &self.fields, Some(&before))?);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        self.applied.store(seq, Ordering::Release);
        Ok(())
    }

    fn write(&self, writer: &IndexWriter, change: &Change) -> ::tantivy::Result<()> {
        let old = Term::from_field_bytes(self.fields.document, change.document_id.0.as_bytes());
        let mut operations = vec![UserOperation::Delete(old)];
        if let DocumentState::Present(document) = &change.state {
            operations.extend(self.fields.entries(change.document_id, document).into_iter().map(UserOperation::Add));
        }
        // In one go, so that all of a document's entries lie side by side in one segment.
        writer.run(operations).map(drop)
    }

    fn search(&self, asked: &SearchQuery) -> ::tantivy::Result<Vec<DocumentHit>> {
        let snapshot = Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner));
        let question = Question::new(&snapshot, &asked.text)?;
        if question.is_empty() || asked.limit == 0 {
            return Ok(Vec::new());
        }
        rank::documents(&self.fields, &snapshot, &question, asked)
    }
}

/// Removes an index's files, and nothing that tantivy would not have written.
fn remove_files(directory: &Path) -> std::io::Result<()> {
    // First what makes it an index: a crash half-way through must not leave half of one.
    for first in ["meta.json", ".managed.json"] {
        match fs::remove_file(directory.join(first)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        // A segment's files: 32 hexadecimal digits, and for deletions a stamp after a full stop.
        let segment = stem.split('.').next().unwrap_or_default();
        if segment.len() == 32 && segment.bytes().all(|b| b.is_ascii_hexdigit()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn unavailable(error: impl std::fmt::Display) -> SearchError {
    SearchError::Unavailable(error.to_string())
}
