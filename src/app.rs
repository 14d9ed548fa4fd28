//! The context: built once, passed first. Fields, no business methods.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::feed::{DocumentEvent, Feed};
use crate::model::Document;

use crate::config::Config;
use crate::live::LiveQuestions;
use crate::llm::Llm;
use crate::search::Search;
use crate::store::Store;

/// Everything that the two flows and their callers share.
pub struct App {
    /// Settings.
    pub config: Config,
    /// The ground state.
    pub store: Arc<dyn Store>,
    /// The index derived from it.
    pub search: Arc<dyn Search>,
    /// Upstream calls.
    pub llm: Llm,
    /// The program that is started to extract text: this very binary.
    pub worker_program: PathBuf,
    /// What happens to documents.
    pub signals: Signals,
    /// Questions that are being answered.
    pub live: LiveQuestions,
}

/// Wakes those who wait for documents.
#[derive(Default)]
pub struct Signals {
    /// A document was queued.
    pub queued: Notify,
    /// The change log grew.
    pub changed: Notify,
    /// Some document's status may have changed; the number only makes each change distinct.
    pub settled: watch::Sender<u64>,
    /// Each change of a document's state, for those who follow.
    pub feed: Feed,
}

impl Signals {
    /// A document is in a new state.
    pub fn document_changed(&self, document: &Document) {
        self.feed.push(DocumentEvent::of(document));
        self.documents_changed();
    }

    /// A document is gone, and the index has to learn it.
    pub fn document_deleted(&self, document: &Document) {
        self.feed.push(DocumentEvent::deleted(document));
        self.changed.notify_one();
        self.documents_changed();
    }

    /// Tells those who wait for documents to look again.
    pub fn documents_changed(&self) {
        self.settled.send_modify(|count| *count += 1);
    }
}
