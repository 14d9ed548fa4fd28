//! What questions ask of documents, kept in memory while no document changes: each asks several times, and a trip to the
//! database's thread costs far more than the answer.

use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;

use crate::model::DocumentId;
use crate::store::KnownDocument;

/// Documents that are kept at the most.
const CAPACITY: u64 = 4_096;

/// Names whether a collection, or the whole, has documents in a language.
type LanguageOf = (Option<String>, String);

/// The documents that were asked for last. Every process has its data folder to itself, so that no write passes by
/// unseen.
pub(super) struct KnownDocuments {
    /// Rises with every transaction that may have changed documents, before anybody is told of it.
    version: AtomicU64,
    kept: Cache<DocumentId, (u64, KnownDocument)>,
    languages: Cache<LanguageOf, (u64, bool)>,
}

impl Default for KnownDocuments {
    fn default() -> Self {
        Self { version: AtomicU64::default(), kept: Cache::new(CAPACITY), languages: Cache::new(CAPACITY) }
    }
}

impl KnownDocuments {
    /// Whatever is kept may be wrong from now on.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Names the present state; to be asked for before the database is read.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// The documents in the order asked, where all are known.
    pub(super) fn all(&self, ids: &[DocumentId]) -> Option<Vec<KnownDocument>> {
        let version = self.version();
        let known = |id| self.kept.get(id).filter(|(kept_at, _)| *kept_at == version).map(|(_, document)| document);
        ids.iter().map(known).collect()
    }

    /// Whether there are documents in a language, where that is known.
    pub(super) fn language(&self, name: &LanguageOf) -> Option<bool> {
        let version = self.version();
        self.languages.get(name).filter(|(kept_at, _)| *kept_at == version).map(|(_, holds)| holds)
    }

    /// Keeps whether there are documents in a language, as it was read after `version` was asked for.
    pub(super) fn keep_language(&self, version: u64, name: LanguageOf, holds: bool) {
        self.languages.insert(name, (version, holds));
    }

    /// Keeps what was read after `version` was asked for.
    pub(super) fn keep(&self, version: u64, documents: &[KnownDocument]) {
        for document in documents {
            self.kept.insert(document.id, (version, document.clone()));
        }
    }
}
