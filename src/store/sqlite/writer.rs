//! Group commit: one task owns the writing connection and puts what waits into one transaction, so that many small
//! writes share the one wait for the disk that each would need alone. A write that fails is undone by itself.
//!
//! What a write did to documents is told to the feed here, since only here the order of the writes is known.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::feed::Feed;
use crate::store::StoreError;

/// Writes of one transaction at the most: more would let the first wait too long for the last.
const GROUP: usize = 64;

/// Writes that may wait.
const QUEUE: usize = 1_024;

/// Hands writes to the task that makes them.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Write>>,
}

impl Writer {
    /// Starts the task on a pool of one connection; it ends with the last `Writer`.
    pub(super) fn start(connection: SqlitePool, feed: Arc<Feed>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(connection, waiting, feed));
        Self { queue }
    }

    /// Does some work within a transaction; returns when it is on the disk, or undone. Once handed over, the work is
    /// done even if nobody waits for it any more.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, true, |_, _| {}).await
    }

    /// The same for work that changes documents: `tell` tells the feed of them once it is on the disk, before any later
    /// write is told of.
    pub(super) async fn write_and_tell<T, F>(&self, work: F, tell: fn(&T, &Feed)) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, true, tell).await
    }

    /// The same for work that needs no undoing: one statement, or several of which each may stand alone.
    pub(super) async fn write_loose<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, false, |_, _| {}).await
    }

    /// As [`Self::write_loose`] and [`Self::write_and_tell`].
    pub(super) async fn write_loose_and_tell<T, F>(&self, work: F, tell: fn(&T, &Feed)) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, false, tell).await
    }

    async fn hand_over<T, F>(&self, work: F, undo: bool, tell: fn(&T, &Feed)) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let write = Box::new(Typed { work: Some(work), undo, tell, outcome: None, reply });
        self.queue.send(write).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }
}

/// The failure of a whole transaction, as each of its writes sees it.
fn as_store_error(error: &sqlx::Error) -> StoreError {
    if super::is_full(error) { StoreError::Full(error.to_string()) } else { StoreError::Unavailable(error.to_string()) }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".to_owned())
}

/// A write of any result.
trait Write: Send {
    /// Does the work; whether it succeeded.
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool>;

    /// Whether what it did must be undone where it fails.
    fn needs_undo(&self) -> bool;

    /// Tells the feed and who waits what became of it; `failed` where the transaction as a whole did not reach the disk.
    fn reply(self: Box<Self>, failed: Option<&sqlx::Error>, feed: &Feed);
}

struct Typed<T, F> {
    work: Option<F>,
    undo: bool,
    tell: fn(&T, &Feed),
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Write for Typed<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let outcome = work(connection).await;
            let succeeded = outcome.is_ok();
            self.outcome = Some(outcome);
            succeeded
        })
    }

    fn needs_undo(&self) -> bool {
        self.undo
    }

    fn reply(self: Box<Self>, failed: Option<&sqlx::Error>, feed: &Feed) {
        let outcome = match (self.outcome, failed) {
            // What failed by itself says why best.
            (Some(Err(error)), _) => Err(error),
            (_, Some(error)) => Err(as_store_error(error)),
            (Some(Ok(value)), None) => {
                (self.tell)(&value, feed);
                Ok(value)
            }
            (None, None) => Err(closed()),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.reply.send(outcome);
    }
}

async fn run(pool: SqlitePool, mut waiting: mpsc::Receiver<Box<dyn Write>>, feed: Arc<Feed>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let failed = commit(&pool, &mut group).await.err();
        for write in group.drain(..) {
            write.reply(failed.as_ref(), &feed);
        }
    }
    pool.close().await;
}

/// Runs a group in one transaction.
async fn commit(pool: &SqlitePool, group: &mut [Box<dyn Write>]) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let outcome = within_transaction(&mut connection, group).await;
    if outcome.is_err() {
        // Without room or after a failed read or write, SQLite undoes a transaction by itself. sqlx does not learn of it
        // and would begin no other on this connection.
        connection.close_on_drop();
    }
    outcome
}

/// `BEGIN IMMEDIATE`, since a transaction that reads first and writes later could
/// otherwise find that the database changed in between.
async fn within_transaction(
    connection: &mut SqliteConnection,
    group: &mut [Box<dyn Write>],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let alone = group.len() == 1;
    // One trip to the database's thread ends one write's savepoint and begins the next one's.
    let mut savepoint = "SAVEPOINT one";
    for write in group {
        if !write.needs_undo() {
            write.run(&mut transaction).await;
        } else if alone {
            if !write.run(&mut transaction).await {
                transaction.rollback().await?;
                return Ok(());
            }
        } else {
            sqlx::query(savepoint).execute(&mut *transaction).await?;
            if !write.run(&mut transaction).await {
                sqlx::query("ROLLBACK TO one").execute(&mut *transaction).await?;
            }
            savepoint = "RELEASE one; SAVEPOINT one";
        }
    }
    transaction.commit().await
}
