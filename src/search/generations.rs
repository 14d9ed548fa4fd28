//! An index that is built anew while it serves: generations, each in a folder of its own. A new one is built beside the
//! one that serves, and takes its place by one rename of the file that names it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use super::tantivy::TantivySearch;
use super::{Change, DocumentHit, Inventory, Search, SearchError, SearchQuery};

/// The file that names the folder of the serving generation.
const CURRENT: &str = "CURRENT";

/// An index with at most one successor in the making.
pub struct Generations {
    folder: PathBuf,
    log: String,
    state: RwLock<State>,
}

struct State {
    name: String,
    serving: Arc<TantivySearch>,
    next: Option<(String, Arc<TantivySearch>)>,
}

impl Generations {
    /// Opens what serves in `folder`, as [`TantivySearch::open`] does; where another version of the analyser made it,
    /// it serves until [`Search::finish_rebuild`], and a successor is begun. Blocks.
    ///
    /// # Errors
    /// The folder cannot be written, or another process holds the index.
    pub fn open(folder: &Path, log: &str) -> Result<Self, SearchError> {
        fs::create_dir_all(folder).map_err(unavailable)?;
        let name = fs::read_to_string(folder.join(CURRENT)).unwrap_or_default().trim().to_owned();
        let known = is_generation(&name) && folder.join(&name).is_dir();
        let name = if known { name } else { new_name() };
        let serving = Arc::new(TantivySearch::open_outdated(&folder.join(&name), log)?);
        if !known {
            point_to(folder, &name)?;
        }
        remove_others(folder, &name)?;
        let outdated = serving.is_outdated();
        let state = RwLock::new(State { name, serving, next: None });
        let generations = Self { folder: folder.to_owned(), log: log.to_owned(), state };
        if outdated {
            tracing::info!("another version of the analyser made the index; it serves while another is built");
            generations.begin()?;
        }
        Ok(generations)
    }

    fn begin(&self) -> Result<(), SearchError> {
        let name = new_name();
        let next = Arc::new(TantivySearch::open(&self.folder.join(&name), &self.log)?);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((abandoned, _)) = state.next.replace((name, next)) {
            remove(&self.folder.join(abandoned));
        }
        Ok(())
    }

    fn serving(&self) -> Arc<TantivySearch> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).serving)
    }

    fn next(&self) -> Option<Arc<TantivySearch>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.next.as_ref().map(|(_, next)| Arc::clone(next))
    }

    fn swap(&self) -> Result<(), SearchError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some((name, next)) = state.next.take() else { return Ok(()) };
        if let Err(error) = point_to(&self.folder, &name) {
            state.next = Some((name, next));
            return Err(error);
        }
        let before = std::mem::replace(&mut state.name, name);
        state.serving = next;
        drop(state);
        // Searches that run still have its files open; their bytes stay until they are done.
        remove(&self.folder.join(before));
        Ok(())
    }
}

#[async_trait]
impl Search for Generations {
    async fn apply(&self, changes: Vec<Change>) -> Result<(), SearchError> {
        self.serving().apply(changes).await
    }

    async fn applied(&self) -> Result<u64, SearchError> {
        self.serving().applied().await
    }

    async fn clear(&self) -> Result<(), SearchError> {
        self.serving().clear().await
    }

    async fn inventory(&self) -> Result<Inventory, SearchError> {
        self.serving().inventory().await
    }

    async fn begin_rebuild(&self) -> Result<(), SearchError> {
        self.begin()
    }

    async fn rebuilt_to(&self) -> Result<Option<u64>, SearchError> {
        match self.next() {
            Some(next) => next.applied().await.map(Some),
            None => Ok(None),
        }
    }

    async fn apply_to_rebuild(&self, changes: Vec<Change>) -> Result<(), SearchError> {
        match self.next() {
            Some(next) => next.apply(changes).await,
            None => Ok(()),
        }
    }

    async fn finish_rebuild(&self) -> Result<(), SearchError> {
        self.swap()
    }

    async fn search(&self, query: SearchQuery) -> Result<Vec<DocumentHit>, SearchError> {
        self.serving().search(query).await
    }
}

/// Names are ours alone, so that nothing else in the folder is ever removed.
fn new_name() -> String {
    format!("generation-{}", uuid::Uuid::now_v7())
}

fn is_generation(name: &str) -> bool {
    name.strip_prefix("generation-").is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

/// Names the generation that serves, durably, in one step.
fn point_to(folder: &Path, name: &str) -> Result<(), SearchError> {
    let write = || {
        let beside = folder.join("CURRENT.new");
        let mut file = fs::File::create(&beside)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, folder.join(CURRENT))?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(unavailable)
}

/// Removes what a stopped process left: generations that did not come to serve, and the files of an index from before
/// there were generations.
fn remove_others(folder: &Path, serving: &str) -> Result<(), SearchError> {
    for entry in fs::read_dir(folder).map_err(unavailable)? {
        let path = entry.map_err(unavailable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_generation(name) && name != serving {
            remove(&path);
        }
    }
    if folder.join("meta.json").exists() {
        TantivySearch::remove_from(folder)?;
    }
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(%error, "an index that no longer serves could not be removed");
    }
}

fn unavailable(error: impl std::fmt::Display) -> SearchError {
    SearchError::Unavailable(error.to_string())
}
