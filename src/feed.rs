//! What happens to documents, for those who follow it: each change of a document's state is an event with a rising
//! number. The latest are kept, so that a follower that was away for a moment goes on where it stopped; one that was
//! away for longer is told to look at the list instead. The store tells of each change when it has committed it, so that
//! no event comes before one that it follows from.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::error::Problem;
use crate::model::{Document, DocumentId};

/// Events that are kept.
const KEPT: usize = 8_192;

/// A change of a document's state.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DocumentEvent {
    /// The document.
    pub id: DocumentId,
    /// Its status from now on, or `deleted`.
    pub status: &'static str,
    /// How far it is; none where it is deleted.
    pub progress: Option<&'static str>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// Its title.
    pub title: String,
    /// The named set that it belongs to.
    pub collection: String,
}

impl DocumentEvent {
    fn of(document: &Document) -> Self {
        Self {
            id: document.id,
            status: document.status.as_str(),
            progress: Some(document.progress.as_str()),
            error: document.error.clone(),
            title: document.title.clone(),
            collection: document.collection.clone(),
        }
    }
}

/// What a follower gets next.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// An event with its number.
    Event(u64, DocumentEvent),
    /// Events were missed: only the list of documents tells what became of them. Followed by later events only.
    Missed(u64),
}

/// The latest events.
pub struct Feed {
    /// Differs after each start, since the numbers begin anew.
    name: u64,
    kept: Mutex<VecDeque<DocumentEvent>>,
    /// The number of events so far: the last one's number, counted from 1.
    last: watch::Sender<u64>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { name: fastrand::u64(..), kept: Mutex::default(), last: watch::Sender::default() }
    }
}

impl Feed {
    /// Tells this process' numbers from those of an earlier one.
    pub fn name(&self) -> u64 {
        self.name
    }

    /// A document is in this state now.
    pub fn changed(&self, document: &Document) {
        self.push(DocumentEvent::of(document));
    }

    /// A document is gone.
    pub fn deleted(&self, document: &Document) {
        self.push(DocumentEvent { status: "deleted", progress: None, error: None, ..DocumentEvent::of(document) });
    }

    fn push(&self, event: DocumentEvent) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event);
        self.last.send_modify(|last| *last += 1);
    }

    /// The last event's number.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Everything after the event with number `seen`; waits until there is something.
    pub async fn after(&self, seen: u64) -> Vec<Happened> {
        if seen > self.last() {
            return vec![Happened::Missed(self.last())];
        }
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.last.subscribe().wait_for(|last| *last > seen).await;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.last();
        let fresh = usize::try_from(last - seen).unwrap_or(usize::MAX);
        if fresh > kept.len() {
            return vec![Happened::Missed(last)];
        }
        let events = kept.range(kept.len() - fresh..).cloned();
        (seen + 1..).zip(events).map(|(number, event)| Happened::Event(number, event)).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    fn event(n: u64) -> DocumentEvent {
        DocumentEvent {
            id: DocumentId(uuid::Uuid::from_u128(u128::from(n))),
            status: "queued",
            progress: Some("waiting"),
            error: None,
            title: n.to_string(),
            collection: "default".into(),
        }
    }

    #[tokio::test]
    async fn a_follower_goes_on_where_it_stopped_unless_it_was_away_too_long() {
        let feed = Feed::default();
        let mut first = Box::pin(feed.after(0));
        assert!(poll!(&mut first).is_pending());
        feed.push(event(1));
        assert_eq!(first.await, [Happened::Event(1, event(1))]);
        feed.push(event(2));
        feed.push(event(3));
        assert_eq!(feed.after(1).await, [Happened::Event(2, event(2)), Happened::Event(3, event(3))]);
        for n in 4..KEPT as u64 + 3 {
            feed.push(event(n));
        }
        assert_eq!(feed.after(1).await, [Happened::Missed(KEPT as u64 + 2)]);
        assert_eq!(feed.after(2).await.len(), KEPT);
        assert_eq!(feed.after(u64::MAX).await, [Happened::Missed(KEPT as u64 + 2)]);
    }
}
