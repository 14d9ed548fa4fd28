//! Questions that are being answered right now. Each has a log of its events, which any number of clients may read
//! from its beginning and follow; a slow client or one that leaves changes nothing for the work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::Stream;
use tokio::sync::watch;

use crate::model::{Event, QuestionId};

/// The logs of all running questions.
#[derive(Default)]
pub struct LiveQuestions {
    running: Mutex<HashMap<QuestionId, Arc<EventLog>>>,
    count: watch::Sender<usize>,
    closed: AtomicBool,
}

/// Why a question was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// As many as may be are running.
    Full,
    /// The server is stopping.
    Closed,
}

/// All events of one question so far.
#[derive(Default)]
pub struct EventLog {
    events: Mutex<Vec<Event>>,
    length: watch::Sender<usize>,
}

impl LiveQuestions {
    /// Begins the log of a question.
    ///
    /// # Errors
    /// Where `limit` questions are running already, or none may begin any more.
    pub fn begin(&self, id: QuestionId, limit: usize) -> Result<Arc<EventLog>, NotBegun> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Acquire) {
            return Err(NotBegun::Closed);
        }
        if running.len() >= limit {
            return Err(NotBegun::Full);
        }
        let log = Arc::new(EventLog::default());
        running.insert(id, Arc::clone(&log));
        self.count.send_replace(running.len());
        Ok(log)
    }

    /// Lets no further question begin.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Forgets a question's log; clients that read it keep it until they are done.
    pub fn end(&self, id: QuestionId) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&id);
        self.count.send_replace(running.len());
    }

    /// The log of a running question.
    pub fn log(&self, id: QuestionId) -> Option<Arc<EventLog>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// How many questions are running.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Ends when no question is running.
    pub async fn idle(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl EventLog {
    /// Adds an event.
    pub fn push(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
        self.length.send_replace(events.len());
    }

    /// The events from the `from`th on, each with its place, as they come; ends after the last one.
    pub fn follow(self: Arc<Self>, from: usize) -> impl Stream<Item = (usize, Event)> {
        async_stream::stream! {
            let mut length = self.length.subscribe();
            let mut next = from;
            loop {
                if length.wait_for(|length| *length > next).await.is_err() {
                    return;
                }
                let fresh = {
                    let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
                    events.get(next..).map(<[Event]>::to_vec).unwrap_or_default()
                };
                for event in fresh {
                    let last = event.is_last();
                    yield (next, event);
                    next += 1;
                    if last {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, poll};

    use super::*;
    use crate::error::{Code, Problem};

    fn delta(text: &str) -> Event {
        Event::Delta(text.to_owned())
    }

    fn last() -> Event {
        Event::Error(Problem::new(Code::Internal, "x"))
    }

    #[tokio::test]
    async fn a_follower_gets_what_was_and_what_comes_and_then_the_end() {
        let log = Arc::new(EventLog::default());
        log.push(delta("a"));
        log.push(delta("b"));
        let mut follower = Box::pin(Arc::clone(&log).follow(1));
        assert_eq!(follower.next().await, Some((1, delta("b"))));
        assert!(poll!(follower.next()).is_pending());
        log.push(last());
        assert_eq!(follower.next().await, Some((2, last())));
        assert_eq!(follower.next().await, None);
    }

    #[tokio::test]
    async fn running_questions_are_bounded_and_waited_for() {
        let live = LiveQuestions::default();
        live.idle().await;
        let id = QuestionId::new();
        assert!(live.begin(id, 1).is_ok());
        assert_eq!(live.begin(QuestionId::new(), 1).err(), Some(NotBegun::Full));
        assert!(live.log(id).is_some());
        let mut idle = Box::pin(live.idle());
        assert!(poll!(&mut idle).is_pending());
        live.end(id);
        idle.await;
        assert_eq!(live.count(), 0);
        live.close();
        assert_eq!(live.begin(id, 1).err(), Some(NotBegun::Closed));
    }
}
