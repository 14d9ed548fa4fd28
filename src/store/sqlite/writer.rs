//! Group commit: one task owns the writing connection and puts what waits into one transaction, so that many small
//! writes share the one wait for the disk that each would need alone. A write that fails is undone by itself.
//!
//! What a write did to documents is told here, to the feed and to what is kept of documents in memory, since only here
//! the order of the writes is known.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{AssertSqlSafe, Connection as _, Execute as _, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::known::KnownDocuments;
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
    pub(super) fn start(connection: SqlitePool, feed: Arc<Feed>, known: Arc<KnownDocuments>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(connection, waiting, feed, known));
        Self { queue }
    }

    /// Does some work within a transaction; returns when it is on the disk, or undone. Once handed over, the work is
    /// done even if nobody waits for it any more.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, true, None).await
    }

    /// The same for work that changes documents: `tell` tells the feed of them once it is on the disk, before any later
    /// write is told of.
    pub(super) async fn write_and_tell<T, F>(&self, work: F, tell: fn(&T, &Feed)) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, true, Some(tell)).await
    }

    /// The same for work that needs no undoing: one statement, or several of which each may stand alone.
    pub(super) async fn write_loose<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, false, None).await
    }

    /// The same for statements without a result. Where no other write waits, they are one trip to the database's thread
    /// together with their transaction: each trip costs more than such a statement does.
    pub(super) async fn write_statements(&self, mut statements: QueryBuilder<Sqlite>) -> Result<(), StoreError> {
        let mut query = statements.build();
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
        let sql = query.sql().as_str().to_owned();
        let (reply, outcome) = oneshot::channel();
        let write = Box::new(Statements { sql, arguments, failed: None, reply });
        self.queue.send(write).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }

    /// As [`Self::write_loose`] and [`Self::write_and_tell`].
    pub(super) async fn write_loose_and_tell<T, F>(&self, work: F, tell: fn(&T, &Feed)) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.hand_over(work, false, Some(tell)).await
    }

    async fn hand_over<T, F>(&self, work: F, undo: bool, tell: Option<fn(&T, &Feed)>) -> Result<T, StoreError>
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

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".to_owned())
}

/// A write of any result.
trait Write: Send {
    /// Does the work; whether it succeeded.
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool>;

    /// Does the work in a transaction of its own, where that is one trip; `None` where it takes more.
    fn run_alone<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
    ) -> Option<BoxFuture<'a, Result<(), sqlx::Error>>>;

    /// Whether what it did must be undone where it fails.
    fn needs_undo(&self) -> bool;

    /// Whether it may have changed documents.
    fn changes_documents(&self) -> bool;

    /// Tells the feed and who waits what became of it; `failed` where the transaction as a whole did not reach the disk.
    fn reply(self: Box<Self>, failed: Option<&sqlx::Error>, feed: &Feed);
}

struct Typed<T, F> {
    work: Option<F>,
    undo: bool,
    /// What tells the feed of it; only a write that changes documents has it.
    tell: Option<fn(&T, &Feed)>,
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

    fn run_alone<'a>(&'a mut self, _: &'a mut SqliteConnection) -> Option<BoxFuture<'a, Result<(), sqlx::Error>>> {
        None
    }

    fn needs_undo(&self) -> bool {
        self.undo
    }

    fn changes_documents(&self) -> bool {
        self.tell.is_some()
    }

    fn reply(self: Box<Self>, failed: Option<&sqlx::Error>, feed: &Feed) {
        let outcome = match (self.outcome, failed) {
            // What failed by itself says why best.
            (Some(Err(error)), _) => Err(error),
            (_, Some(error)) => Err(error.into()),
            (Some(Ok(value)), None) => {
                if let Some(tell) = self.tell {
                    tell(&value, feed);
                }
                Ok(value)
            }
            (None, None) => Err(closed()),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Statements without a result.
struct Statements {
    sql: String,
    arguments: SqliteArguments,
    failed: Option<StoreError>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Write for Statements {
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let sql = AssertSqlSafe(std::mem::take(&mut self.sql));
            let outcome = sqlx::query_with(sql, std::mem::take(&mut self.arguments)).execute(connection).await;
            self.failed = outcome.err().map(StoreError::from);
            self.failed.is_none()
        })
    }

    fn run_alone<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
    ) -> Option<BoxFuture<'a, Result<(), sqlx::Error>>> {
        Some(Box::pin(async move {
            let sql = AssertSqlSafe(format!("BEGIN IMMEDIATE; {}; COMMIT", self.sql));
            sqlx::query_with(sql, std::mem::take(&mut self.arguments)).execute(connection).await?;
            Ok(())
        }))
    }

    fn needs_undo(&self) -> bool {
        false
    }

    fn changes_documents(&self) -> bool {
        false
    }

    fn reply(self: Box<Self>, failed: Option<&sqlx::Error>, _: &Feed) {
        let failed = self.failed.or(failed.map(StoreError::from));
        let _ = self.reply.send(failed.map_or(Ok(()), Err));
    }
}

async fn run(
    pool: SqlitePool,
    mut waiting: mpsc::Receiver<Box<dyn Write>>,
    feed: Arc<Feed>,
    known: Arc<KnownDocuments>,
) {
    let mut group = Vec::with_capacity(GROUP);
    // Kept from one transaction to the next: giving it back and taking it again are trips to the database's thread.
    let mut connection = None;
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let failed = commit(&pool, &mut connection, &mut group).await.err();
        if group.iter().any(|write| write.changes_documents()) {
            known.changed();
        }
        for write in group.drain(..) {
            write.reply(failed.as_ref(), &feed);
        }
    }
    drop(connection);
    pool.close().await;
}

/// Runs a group in one transaction, on the pool's connection or the one that is kept of it.
async fn commit(
    pool: &SqlitePool,
    kept: &mut Option<PoolConnection<Sqlite>>,
    group: &mut [Box<dyn Write>],
) -> Result<(), sqlx::Error> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => pool.acquire().await?,
    };
    let outcome = within_transaction(&mut connection, group).await;
    if outcome.is_ok() {
        *kept = Some(connection);
    } else {
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
    if let [write] = group
        && let Some(done) = write.run_alone(connection)
    {
        return done.await;
    }
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
