//! Which questions have analyses that others may reuse. Nearly every question is a new one: looking for what was never
//! kept costs a trip to the database's thread, beside a search that wants the processor for itself.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqlitePool;

/// Hexadecimal digits that stand for a whole key.
const DIGITS: usize = 16;

/// The beginnings of the keys of all analyses that can be reused.
#[derive(Default)]
pub(super) struct AskedBefore(Mutex<Beginnings>);

#[derive(Default)]
struct Beginnings {
    known: HashSet<u64>,
    /// Whether those of earlier processes are among them.
    complete: bool,
}

impl AskedBefore {
    /// Adds what earlier processes kept. Until then, anything may have been asked before.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub(super) async fn load(&self, readers: &SqlitePool) -> Result<(), sqlx::Error> {
        let mut keys = sqlx::query_scalar::<_, String>("SELECT DISTINCT substr(cache_key, 1, ?) FROM cached_analyses")
            .bind(i64::try_from(DIGITS).unwrap_or(i64::MAX))
            .fetch(readers);
        while let Some(key) = keys.try_next().await? {
            self.add(&key);
        }
        self.lock().complete = true;
        Ok(())
    }

    /// Notes that there is, or will be, an analysis of this key.
    pub(super) fn add(&self, key: &str) {
        if let Some(beginning) = beginning(key) {
            self.lock().known.insert(beginning);
        }
    }

    /// Whether there may be analyses whose keys begin with this one; there are none where not.
    pub(super) fn may_have(&self, key: &str) -> bool {
        let beginnings = self.lock();
        !beginnings.complete || beginning(key).is_none_or(|beginning| beginnings.known.contains(&beginning))
    }

    fn lock(&self) -> MutexGuard<'_, Beginnings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None for a key that is shorter: it may be the beginning of any that is kept.
fn beginning(key: &str) -> Option<u64> {
    u64::from_str_radix(key.get(..DIGITS)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_never_kept_is_not_looked_for_once_all_is_known() {
        let (kept, added, never) = ("ab".repeat(64), "cd".repeat(64), "ef".repeat(64));
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        let mut database = pool.acquire().await.unwrap();
        sqlx::query("CREATE TABLE cached_analyses (cache_key TEXT NOT NULL)").execute(&mut *database).await.unwrap();
        sqlx::query("INSERT INTO cached_analyses VALUES (?)").bind(&kept).execute(&mut *database).await.unwrap();
        let asked = AskedBefore::default();
        assert!(asked.may_have(&never), "nothing is known yet");
        drop(database);
        asked.load(&pool).await.unwrap();
        asked.add(&added);
        let may_have = |key: &str| asked.may_have(&key[..64]);
        assert_eq!([&kept, &added, &never].map(|key| may_have(key)), [true, true, false]);
        assert!(asked.may_have("ef"), "too short to tell");
    }
}
