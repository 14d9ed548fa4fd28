//! The running server: everything opened, recovered, served and stopped in order.

mod calls;

use std::fs::{File, TryLockError};
use std::io::{Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Embedding, Signals, Translations};
use crate::config::Config;
use crate::error::Problem;
use crate::feed::Feed;
use crate::live::LiveQuestions;
use crate::llm::Llm;
use crate::readings::Readings;
use crate::search::generations::Generations;
use crate::search::vectors::Vectors;
use crate::store::{ChangeLog as _, SqliteStore};
use crate::{answer, http, ingest};

/// How long running questions are waited for when the server stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(22);

/// How long documents in work are waited for when the server stops; they are taken up again at the next start.
const INGEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Holds the data folder, and tells commands where the server that holds it listens.
const LOCK_FILE: &str = "dokkai.lock";

/// How often, and how long apart, the lock is tried.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process works with the data folder.
    #[error("{folder} is in use by another dokkai{}", at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default())]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// Where that process listens.
        at: Option<String>,
    },
    /// The data folder cannot be used.
    #[error("cannot use the data folder {folder}: {reason}")]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        reason: std::io::Error,
    },
    /// The upstream client cannot be set up.
    #[error("cannot set up the upstream client: {0}")]
    Upstream(String),
    /// The store or the index cannot be used.
    #[error("{0}")]
    State(#[from] Problem),
}

/// A server at work.
pub struct Running {
    /// The context of everything that runs.
    pub app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    ingesting: JoinHandle<()>,
    counting: JoinHandle<()>,
    stop: CancellationToken,
    // Held until the end: the folder is free again when it closes.
    _lock: File,
}

/// Opens the data folder, takes up what an earlier process left, and serves. `worker_program` is the dokkai binary,
/// which extraction starts again as a guarded process.
///
/// # Errors
/// Where the folder is in use or unusable, or the address cannot be listened on.
pub async fn start(config: Config, worker_program: PathBuf) -> Result<Running, StartError> {
    let mut lock = hold(&config.data_dir).await?;
    let feed = Arc::new(Feed::default());
    let store = SqliteStore::open(&config.data_dir, Arc::clone(&feed)).await.map_err(Problem::from)?;
    let log = store.log_name().await.map_err(Problem::from)?;
    let index = config.data_dir.join("index");
    let search = tokio::task::spawn_blocking(move || Generations::open(&index, &log))
        .await
        .map_err(|error| StartError::Folder { folder: config.data_dir.clone(), reason: error.to_string() })?
        .map_err(Problem::from)?;
    let (ledger, entries) = mpsc::unbounded_channel();
    let llm = Llm::new(config.llm.clone(), ledger).map_err(|error| StartError::Upstream(error.to_string()))?;
    let app = Arc::new(App {
        store: Arc::new(store),
        search: Arc::new(search),
        vectors: Arc::new(Vectors::default()),
        embedding: Embedding::default(),
        llm,
        runtime: Handle::current(),
        worker_program,
        signals: Signals::default(),
        feed,
        live: LiveQuestions::default(),
        readings: Readings::default(),
        translations: Translations::default(),
        config,
    });
    ingest::recover(&app).await?;
    answer::recover(&app).await?;

    let listen = app.config.listen;
    let unavailable = |reason| StartError::Listen { address: listen, reason };
    let listener = TcpListener::bind(listen).map_err(unavailable)?;
    let address = listener.local_addr().map_err(unavailable)?;
    tell(&mut lock, address)
        .map_err(|error| StartError::Folder { folder: app.config.data_dir.clone(), reason: error.to_string() })?;
    let server = http::serve(Arc::clone(&app), listener).map_err(unavailable)?;
    let stop = CancellationToken::new();
    Ok(Running {
        handle: server.handle(),
        serving: tokio::spawn(server),
        ingesting: tokio::spawn(ingest::run(Arc::clone(&app), stop.clone())),
        counting: tokio::spawn(calls::keep(Arc::clone(&app), entries, stop.clone())),
        app,
        address,
        stop,
        _lock: lock,
    })
}

impl Running {
    /// Stops: accepts nothing new, lets running questions finish within bounds, leaves the rest in the store to be
    /// taken up at the next start.
    pub async fn stop(self) {
        self.handle.pause().await;
        // Connections that are open already may bring further questions.
        self.app.live.close();
        if tokio::time::timeout(FINISH_TIMEOUT, self.app.live.idle()).await.is_err() {
            tracing::warn!(questions = self.app.live.count(), "stopping although questions are running");
        }
        self.stop.cancel();
        let served = async {
            self.handle.stop(true).await;
            let _ = self.serving.await;
        };
        let ingest = self.ingesting.abort_handle();
        let ingested = async {
            if tokio::time::timeout(INGEST_TIMEOUT, self.ingesting).await.is_err() {
                ingest.abort();
            }
        };
        tokio::join!(served, ingested);
        let _ = self.counting.await;
    }
}

/// Where the server that holds a data folder listens; `None` where nobody holds it.
pub fn holder(folder: &Path) -> Option<String> {
    let path = folder.join(LOCK_FILE);
    let file = File::open(&path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            std::fs::read_to_string(&path).ok().map(|at| at.trim().to_owned()).filter(|at| !at.is_empty())
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// Makes the data folder and takes its lock.
async fn hold(folder: &Path) -> Result<File, StartError> {
    let unusable = |error: std::io::Error| StartError::Folder { folder: folder.to_owned(), reason: error.to_string() };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let path = folder.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(unusable)?;
    // Who only looks whether somebody holds the folder holds it for a moment.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
    }
    Err(StartError::InUse { folder: folder.to_owned(), at: holder(folder) })
}

fn tell(lock: &mut File, address: SocketAddr) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("http://{address}\n").as_bytes())?;
    lock.flush()
}
