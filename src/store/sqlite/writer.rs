//! Group commit: one writing connection, and one transaction for all that waits, so that many small writes share the one
//! wait for the disk that each would need alone. A write that fails is undone by itself.
//!
//! Writes are made on the store's own runtime, whatever becomes of the one that they come from.
//!
//! What a write did to documents is told here, to the feed and to what is kept of documents in memory, since only here
//! the order of the writes is known.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Execute as _, Executor as _, QueryBuilder, Sqlite, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::known::KnownDocuments;
use crate::feed::Feed;
use crate::store::StoreError;

/// Writes of one transaction at the most: more would let the first wait too long for the last.
const GROUP: usize = 64;

/// Takes writes and has them made. Each caller waits for its own, so that no more wait than callers are.
#[derive(Clone)]
pub(super) struct Writer {
    desk: Arc<Desk>,
}

struct Desk {
    options: SqliteConnectOptions,
    feed: Arc<Feed>,
    known: Arc<KnownDocuments>,
    /// Unlike the runtimes of callers it lives as long as the store.
    home: Handle,
    queue: Mutex<Queue>,
}

struct Queue {
    waiting: VecDeque<Box<dyn Write>>,
    /// Whether somebody writes, who will also see to what waits.
    busy: bool,
    /// The writing connection while nobody writes; none after a failure.
    connection: Option<SqliteConnection>,
}

impl Writer {
    /// Takes over a connection; others with the same options replace it where a transaction fails. To be called on the
    /// runtime that the store lives on.
    pub(super) fn new(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        feed: Arc<Feed>,
        known: Arc<KnownDocuments>,
    ) -> Self {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), busy: false, connection: Some(connection) });
        Self { desk: Arc::new(Desk { options, feed, known, home: Handle::current(), queue }) }
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

    /// The same for one statement without a result. Where no other write waits, it is its own transaction: one trip to
    /// the database's thread, which costs more than such a statement does.
    pub(super) async fn write_statement(&self, statement: QueryBuilder<Sqlite>) -> Result<(), StoreError> {
        self.hand_over_statements(statement, true).await
    }

    /// The same for several.
    pub(super) async fn write_statements(&self, statements: QueryBuilder<Sqlite>) -> Result<(), StoreError> {
        self.hand_over_statements(statements, false).await
    }

    async fn hand_over_statements(&self, mut text: QueryBuilder<Sqlite>, single: bool) -> Result<(), StoreError> {
        let mut query = text.build();
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
        let sql = query.sql().as_str().to_owned();
        let (reply, outcome) = oneshot::channel();
        self.desk.put(Box::new(Statements { sql, arguments, single, failed: None, reply }));
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
        self.desk.put(Box::new(Typed { work: Some(work), undo, tell, outcome: None, reply }));
        outcome.await.map_err(|_| closed())?
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the write was given up; try again".to_owned())
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
    /// Whether it is one only, which is a transaction by itself.
    single: bool,
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
            let sql = std::mem::take(&mut self.sql);
            let sql = if self.single { sql } else { format!("BEGIN IMMEDIATE; {sql}; COMMIT") };
            let query = sqlx::query_with(AssertSqlSafe(sql), std::mem::take(&mut self.arguments));
            if self.single {
                // Its outcome is there a trip earlier than the news that no other follows.
                connection.fetch_many(query).try_next().await?;
            } else {
                query.execute(connection).await?;
            }
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

impl Desk {
    /// Takes a write, and begins it where nobody is writing; as a task of its own, since who waits may leave.
    fn put(self: &Arc<Self>, write: Box<dyn Write>) {
        let turn = {
            let mut queue = self.queue();
            queue.waiting.push_back(write);
            Turn::take(self, &mut queue)
        };
        if let Some(turn) = turn {
            turn.go_home();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write, which one task has at a time. Where it ends early, by a fault, its connection is closed, which
/// undoes what was begun, and others go on.
struct Turn {
    desk: Arc<Desk>,
    connection: Option<SqliteConnection>,
    /// Whether nobody writes after it: it never began on the store's own runtime, which must have ended.
    last: bool,
}

impl Turn {
    fn take(desk: &Arc<Desk>, queue: &mut Queue) -> Option<Self> {
        let free = !std::mem::replace(&mut queue.busy, true);
        free.then(|| Self { desk: Arc::clone(desk), connection: queue.connection.take(), last: false })
    }

    /// Is taken on the store's own runtime.
    fn go_home(mut self) {
        self.last = true;
        let home = self.desk.home.clone();
        home.spawn(self.write_all());
    }

    /// Writes until nothing waits.
    async fn write_all(mut self) {
        self.last = false;
        while self.write_group().await {}
    }

    /// Writes a group of what waits; whether more waits.
    async fn write_group(&mut self) -> bool {
        let mut group: Vec<_> = {
            let waiting = &mut self.desk.queue().waiting;
            let size = waiting.len().min(GROUP);
            waiting.drain(..size).collect()
        };
        let failed = self.commit(&mut group).await.err();
        if group.iter().any(|write| write.changes_documents()) {
            self.desk.known.changed();
        }
        for write in group {
            write.reply(failed.as_ref(), &self.desk.feed);
        }
        !self.desk.queue().waiting.is_empty()
    }

    /// Runs a group in one transaction.
    async fn commit(&mut self, group: &mut [Box<dyn Write>]) -> Result<(), sqlx::Error> {
        // Put back only after a success: without room or after a failed read or write, SQLite undoes a transaction by
        // itself, or has it still open.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.desk.options.connect().await?,
        };
        within_transaction(&mut connection, group).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.desk.queue();
        queue.busy = false;
        queue.connection = self.connection.take();
        if self.last {
            // Nobody will make them; who waits learns it.
            queue.waiting.clear();
        }
        let next = if queue.waiting.is_empty() { None } else { Self::take(&self.desk, &mut queue) };
        drop(queue);
        if let Some(next) = next {
            next.go_home();
        }
    }
}

/// `BEGIN IMMEDIATE`, since a transaction that reads first and writes later could otherwise find that the database
/// changed in between.
async fn within_transaction(
    connection: &mut SqliteConnection,
    group: &mut [Box<dyn Write>],
) -> Result<(), sqlx::Error> {
    if let [write] = group
        && let Some(done) = write.run_alone(connection)
    {
        return done.await;
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let alone = group.len() == 1;
    // One trip to the database's thread ends one write's savepoint and begins the next one's.
    let mut savepoint = "SAVEPOINT one";
    for write in group {
        if !write.needs_undo() {
            write.run(connection).await;
        } else if alone {
            if !write.run(connection).await {
                sqlx::query("ROLLBACK").execute(connection).await?;
                return Ok(());
            }
        } else {
            sqlx::query(savepoint).execute(&mut *connection).await?;
            if !write.run(connection).await {
                sqlx::query("ROLLBACK TO one").execute(&mut *connection).await?;
            }
            savepoint = "RELEASE one; SAVEPOINT one";
        }
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn writer(folder: &tempfile::TempDir) -> Writer {
        let options = SqliteConnectOptions::new().filename(folder.path().join("x.sqlite")).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::query("CREATE TABLE numbers (number INTEGER NOT NULL)").execute(&mut connection).await.unwrap();
        Writer::new(connection, options, Arc::default(), Arc::default())
    }

    async fn add(writer: &Writer, number: i64) -> Result<(), StoreError> {
        let mut add = QueryBuilder::new("INSERT INTO numbers VALUES (");
        add.push_bind(number).push(")");
        writer.write_statement(add).await
    }

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let numbers = writer.write(|connection| {
            Box::pin(async move {
                Ok(sqlx::query_scalar("SELECT number FROM numbers ORDER BY number").fetch_all(connection).await?)
            })
        });
        numbers.await.unwrap()
    }

    #[tokio::test]
    async fn a_write_that_breaks_off_is_undone_and_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        let broken = writer.write::<(), _>(|connection| {
            Box::pin(async move {
                sqlx::query("INSERT INTO numbers VALUES (1)").execute(connection).await?;
                panic!("a fault of ours");
            })
        });
        let (broken, second) = tokio::join!(broken, add(&writer, 2));
        assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
        // It may have shared a transaction with the one that broke off, and is told so.
        let expected = if second.is_ok() { vec![2, 3] } else { vec![3] };
        add(&writer, 3).await.unwrap();
        assert_eq!(numbers(&writer).await, expected);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_write_goes_on_without_the_runtime_that_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        for number in 0..20 {
            let from_elsewhere = writer.clone();
            let elsewhere = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    // Its runtime may end before it is made.
                    drop(futures_util::future::poll_immediate(Box::pin(add(&from_elsewhere, number * 2))).await);
                });
            });
            elsewhere.join().unwrap();
            let after = tokio::time::timeout(Duration::from_secs(30), add(&writer, number * 2 + 1));
            after.await.expect("nobody writes any more").unwrap();
        }
        assert_eq!(numbers(&writer).await, (0..40).collect::<Vec<_>>());
    }
}
