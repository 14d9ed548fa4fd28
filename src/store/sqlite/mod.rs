//! The ground state in one SQLite file.
//!
//! Writes go through a single connection ([`writer`]), so that none ever meets a busy database; reads go through a pool
//! beside it (write-ahead logging lets them go on during a write). Every write reaches the disk before it is
//! acknowledged.

mod asked;
mod audit;
mod changes;
mod documents;
mod known;
mod originals;
mod questions;
mod queue;
mod summaries;
mod texts;
mod usage;
mod vectors;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, QueryBuilder, Sqlite};
use time::OffsetDateTime;
use uuid::Uuid;

use self::asked::AskedBefore;
use self::known::KnownDocuments;
use self::writer::Writer;
use super::{Store, StoreError};
use crate::feed::Feed;

/// The ground state in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    known: Arc<KnownDocuments>,
    asked: Arc<AskedBefore>,
    /// Finished questions whose analyses still have rows of their own; these go with a write that nobody waits for.
    finished: Mutex<Vec<Uuid>>,
    /// For work beside both that takes long: checks and copies.
    options: SqliteConnectOptions,
}

/// The file's name in the data folder.
const FILE: &str = "dokkai.sqlite";

/// SQLite's result code for a disk without room.
const FULL: &str = "13";

/// SQLite's result codes for a file that is damaged, and for one that is no database.
const DAMAGED: [&str; 2] = ["11", "26"];

impl SqliteStore {
    /// Opens the file in `folder`, which is made where it is missing, and applies the migrations. What happens to
    /// documents from then on is told to `feed`.
    ///
    /// # Errors
    /// Where the folder or file cannot be used, or was written by a newer version.
    pub async fn open(folder: &Path, feed: Arc<Feed>) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| StoreError::Unavailable(format!("cannot make {}: {error}", folder.display())))?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join(FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cache_size", "-32768")
            // 32 MiB, where the default is 4: under load, most pages change many times before they need to be copied.
            .pragma("wal_autocheckpoint", "8192")
            .pragma("mmap_size", "268435456");
        let mut writer = options.connect().await?;
        sqlx::migrate!("migrations/sqlite").run(&mut writer).await.map_err(not_up_to_date)?;
        // A file does not go away between two queries as a server does. Each connection has a cache of its own, beside the
        // operating system's, which all share.
        let readers = SqlitePoolOptions::new()
            .max_connections(8)
            .test_before_acquire(false)
            .connect_with(options.clone().read_only(true).pragma("cache_size", "-8192"))
            .await?;
        let known = Arc::new(KnownDocuments::default());
        let writer = Writer::new(writer, options.clone(), feed, Arc::clone(&known));
        let asked = Arc::<AskedBefore>::default();
        let loading = (Arc::clone(&asked), readers.clone());
        tokio::spawn(async move {
            if let Err(error) = loading.0.load(&loading.1).await {
                tracing::warn!(%error, "every question looks for earlier analyses: which there are could not be read");
            }
        });
        let store = Self { writer, readers, known, asked, finished: Mutex::default(), options };
        // They harm nobody, and a disk without room for this is no reason not to serve.
        if let Err(error) = store.drop_finished_analyses().await {
            tracing::warn!(%error, "rows of finished questions' analyses stay until the next start");
        }
        Ok(store)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        // Taking the write lock shows a read-only or vanished file without changing it.
        self.writer.write(|_| Box::pin(async { Ok(()) })).await
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

/// The failure of a whole transaction is that of each of its writes.
impl From<&sqlx::Error> for StoreError {
    fn from(error: &sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) || is_damaged(error) {
            Self::Corrupt(error.to_string())
        } else if is_full(error) {
            Self::Full(error.to_string())
        } else {
            Self::Unavailable(error.to_string())
        }
    }
}

/// Whether there is no room on the disk.
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == FULL)
}

fn is_damaged(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| DAMAGED.contains(&code.as_ref()))
}

fn not_up_to_date(error: MigrateError) -> StoreError {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = &error
        && is_damaged(error)
    {
        return StoreError::Corrupt(error.to_string());
    }
    StoreError::Unavailable(format!("cannot bring the database up to date: {error}"))
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// The JSON of a value of ours; such values always have one.
fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(corrupt)
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(corrupt)
}

/// Admits only rows whose `text` holds each word.
fn push_words(query: &mut QueryBuilder<Sqlite>, text: &str, words: &[String]) {
    for word in words {
        // SQLite lowers ASCII letters only, so the word must not be lowered further.
        query.push(format!(" AND instr(lower({text}), ")).push_bind(word.to_ascii_lowercase()).push(") > 0");
    }
}

fn now_ms() -> i64 {
    to_ms(OffsetDateTime::now_utc())
}

fn to_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn from_ms(ms: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).map_err(corrupt)
}

/// SQLite's integers are signed; counts and sizes of ours are not.
fn to_i64(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn from_i64<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::Corrupt(format!("the number {number} is out of range")))
}
