//! The context: built once, passed first. Fields, no business methods.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::error::Problem;
use crate::feed::Feed;
use crate::live::LiveQuestions;
use crate::llm::Llm;
use crate::readings::Readings;
use crate::search::Search;
use crate::search::vectors::Vectors;
use crate::store::Store;

/// Everything that the two flows and their callers share.
pub struct App {
    /// Settings.
    pub config: Config,
    /// The ground state.
    pub store: Arc<dyn Store>,
    /// The index derived from it.
    pub search: Arc<dyn Search>,
    /// Passages' vectors, where there is an embedding model.
    pub vectors: Arc<Vectors>,
    /// What became of embedding last.
    pub embedding: Embedding,
    /// Upstream calls.
    pub llm: Llm,
    /// The server's own threads, on which questions are worked on. They share their work, as those that serve HTTP do
    /// not: a question and its connections to the upstream would be on different ones by chance, and wait for both.
    pub runtime: Handle,
    /// The program that is started to extract text: this very binary.
    pub worker_program: PathBuf,
    /// Wakes those who wait for documents.
    pub signals: Signals,
    /// What happens to documents, for those who follow; the store tells it.
    pub feed: Arc<Feed>,
    /// Questions that are being answered.
    pub live: LiveQuestions,
    /// What was read of documents lately.
    pub readings: Readings,
    /// Questions that were put into another language lately.
    pub translations: Translations,
}

/// The translations that were used last.
pub struct Translations(moka::sync::Cache<String, String>);

impl Default for Translations {
    fn default() -> Self {
        Self(moka::sync::Cache::new(Self::MOST))
    }
}

impl Translations {
    /// Translations that are remembered.
    const MOST: u64 = 10_000;

    /// The translation that was kept under this name.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name)
    }

    /// Keeps a translation under the name of all that it depends on.
    pub fn keep(&self, name: String, translation: String) {
        self.0.insert(name, translation);
    }
}

/// How embedding stands.
#[derive(Default)]
pub struct Embedding {
    /// Whether every passage has its vector.
    pub up_to_date: AtomicBool,
    /// The last entry of the change log that was followed.
    pub followed: AtomicU64,
    /// Why passages or queries are not embedded now.
    pub problem: Mutex<Option<Problem>>,
    /// Vectors of queries that came before.
    pub queries: Mutex<QueryCache>,
}

/// Vectors of the latest queries, by space and text.
#[derive(Default)]
pub struct QueryCache {
    vectors: HashMap<(i64, String), Arc<Vec<f32>>>,
    order: VecDeque<(i64, String)>,
}

impl QueryCache {
    /// Queries that are remembered.
    const MOST: usize = 2_000;

    /// The vector of a query that came before.
    pub fn get(&self, space: i64, text: &str) -> Option<Arc<Vec<f32>>> {
        self.vectors.get(&(space, text.to_owned())).cloned()
    }

    /// Remembers a query's vector; the oldest one is forgotten.
    pub fn put(&mut self, space: i64, text: &str, vector: Arc<Vec<f32>>) {
        let key = (space, text.to_owned());
        if self.vectors.insert(key.clone(), vector).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.vectors.remove(&oldest);
        }
    }
}

/// Wakes those who wait for documents.
#[derive(Default)]
pub struct Signals {
    /// A document was queued.
    pub queued: Notify,
    /// The change log grew.
    pub changed: Notify,
    /// The index followed the change log; the vectors may.
    pub indexed: Notify,
    /// The last change that the index has committed and whose text serves.
    pub searchable: AtomicU64,
    /// Some document's status may have changed; the number only makes each change distinct.
    pub settled: watch::Sender<u64>,
}

impl Signals {
    /// Tells those who wait for documents to look again.
    pub fn documents_changed(&self) {
        self.settled.send_modify(|count| *count += 1);
    }
}
