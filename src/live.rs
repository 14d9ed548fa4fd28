//! Questions that are being answered right now. Each has a log of its events, which any number of clients may read
//! from any point and follow; a slow client or one that leaves changes nothing for the work. Who asks what is being
//! answered already shares that work.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::Stream;
use tokio::sync::{SetOnce, watch};

use crate::error::Problem;
use crate::model::{Analysis, DocumentId, Event, QuestionId, QuestionRecord, QuestionStatus};

/// The logs of all running questions.
#[derive(Default)]
pub struct LiveQuestions {
    running: Mutex<Running>,
    count: watch::Sender<usize>,
    closed: AtomicBool,
    /// Whether the last question could not be stored.
    unstorable: AtomicBool,
}

#[derive(Default)]
struct Running {
    logs: HashMap<QuestionId, Arc<EventLog>>,
    /// What each is asked, in all that its answer depends on.
    askings: HashMap<String, QuestionId>,
}

/// A question that runs now.
pub enum Begun {
    /// It begins with this log.
    New(Arc<EventLog>),
    /// The same is being answered already: that question, and its log.
    Shared(QuestionId, Arc<EventLog>),
}

/// Why a question was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// As many as may be are running.
    Full,
    /// The server is stopping.
    Closed,
    /// This very question is running.
    Running,
}

/// How far somebody has seen a question's events: enough to go on from there, in this process or a later one.
/// Written `RUN-STAGE-ANALYSES-CHARACTERS`, the analyses as bits in hexadecimal, by the rank of their documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    run: u32,
    stage: u8,
    analyses: u64,
    characters: usize,
}

/// The stages of [`Seen`].
const ACCEPTED: u8 = 1;
const RETRIEVED: u8 = 2;
const ENDED: u8 = 3;

/// All events of one question so far.
pub struct EventLog {
    events: Mutex<Events>,
    length: watch::Sender<usize>,
    /// What the last event tells, for those who want nothing else.
    end: SetOnce<Result<Arc<QuestionRecord>, Problem>>,
    /// Whether somebody wants the work to end.
    stop: watch::Sender<bool>,
}

struct Events {
    all: Vec<(Seen, Event)>,
    last: Seen,
    documents: Vec<DocumentId>,
}

impl LiveQuestions {
    /// Begins the log of a question, or finds the one that is asked the same. `run` tells apart the logs of one
    /// question that is taken up again.
    ///
    /// # Errors
    /// Where `limit` questions are running already, this one is, or none may begin any more.
    pub fn begin(&self, id: QuestionId, run: u32, asking: Option<String>, limit: usize) -> Result<Begun, NotBegun> {
        let mut running = self.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(NotBegun::Closed);
        }
        let same = asking.as_ref().and_then(|asking| running.askings.get(asking)).copied();
        if let Some((id, log)) = same.and_then(|id| Some((id, Arc::clone(running.logs.get(&id)?)))) {
            return Ok(Begun::Shared(id, log));
        }
        if running.logs.contains_key(&id) {
            return Err(NotBegun::Running);
        }
        if running.logs.len() >= limit {
            return Err(NotBegun::Full);
        }
        let log = Arc::new(EventLog::new(run));
        running.logs.insert(id, Arc::clone(&log));
        if let Some(asking) = asking {
            running.askings.insert(asking, id);
        }
        self.count.send_replace(running.logs.len());
        Ok(Begun::New(log))
    }

    /// Notes whether a question could be stored.
    pub fn stored(&self, stored: bool) {
        self.unstorable.store(!stored, Ordering::Relaxed);
    }

    /// Whether the last question could be stored.
    pub fn can_store(&self) -> bool {
        !self.unstorable.load(Ordering::Relaxed)
    }

    /// Lets no further question begin.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Forgets a question's log; clients that read it keep it until they are done.
    pub fn end(&self, id: QuestionId) {
        let mut running = self.lock();
        running.logs.remove(&id);
        running.askings.retain(|_, asked| *asked != id);
        self.count.send_replace(running.logs.len());
    }

    /// The log of a running question.
    pub fn log(&self, id: QuestionId) -> Option<Arc<EventLog>> {
        self.lock().logs.get(&id).cloned()
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

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog {
    /// An empty log of a question's `run`.
    pub fn new(run: u32) -> Self {
        let last = Seen { run, ..Seen::default() };
        Self {
            events: Mutex::new(Events { all: Vec::new(), last, documents: Vec::new() }),
            length: watch::Sender::default(),
            end: SetOnce::new(),
            stop: watch::Sender::default(),
        }
    }

    /// The log that a stored record tells of: the same events, the answer in one piece.
    pub fn of(record: QuestionRecord) -> Self {
        let log = Self::new(record.run);
        log.push(Event::Accepted(record.id));
        log.push(Event::Retrieval(record.retrieved.clone()));
        for analysis in &record.analyses {
            log.push(Event::Analysis(Arc::new(analysis.clone())));
        }
        if !record.answer.is_empty() {
            log.push(Event::Delta(record.answer.clone()));
        }
        if record.status != QuestionStatus::Running {
            log.push(Event::Done(Arc::new(record)));
        }
        log
    }

    /// Adds an event.
    pub fn push(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = events.last;
        match &event {
            Event::Accepted(_) => last.stage = last.stage.max(ACCEPTED),
            Event::Retrieval(documents) => {
                last.stage = last.stage.max(RETRIEVED);
                events.documents = documents.iter().map(|document| document.document_id).collect();
            }
            Event::Analysis(analysis) => last.analyses |= bit(&events.documents, analysis.document_id),
            Event::Delta(text) => last.characters += text.chars().count(),
            Event::Done(_) | Event::Error(_) => last.stage = ENDED,
        }
        let end = match &event {
            Event::Done(record) => Some(Ok(Arc::clone(record))),
            Event::Error(problem) => Some(Err(problem.clone())),
            Event::Accepted(_) | Event::Retrieval(_) | Event::Analysis(_) | Event::Delta(_) => None,
        };
        events.last = last;
        events.all.push((last, event));
        self.length.send_replace(events.all.len());
        if let Some(end) = end {
            // A log has one end.
            let _ = self.end.set(end);
        }
    }

    /// The finished record, once it is there; whoever waits for it alone is not woken by what comes before.
    ///
    /// # Errors
    /// Where not even a record could be kept.
    pub async fn ended(&self) -> Result<Arc<QuestionRecord>, Problem> {
        self.end.wait().await.clone()
    }

    /// Asks for the work to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends once the work should end.
    pub async fn stopped(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// The analyses so far.
    pub fn analyses(&self) -> Vec<Analysis> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let analysis = |(_, event): &(Seen, Event)| match event {
            Event::Analysis(analysis) => Some(Analysis::clone(analysis)),
            Event::Accepted(_) | Event::Retrieval(_) | Event::Delta(_) | Event::Done(_) | Event::Error(_) => None,
        };
        events.all.iter().filter_map(analysis).collect()
    }

    /// The events that follow what was `seen`, each with what is seen after it, as they come; ends after the last one.
    /// Where the question was taken up again since, all of it comes anew.
    pub fn follow(self: Arc<Self>, seen: Option<Seen>) -> impl Stream<Item = (Seen, Event)> {
        async_stream::stream! {
            let mut length = self.length.subscribe();
            let mut next = 0;
            loop {
                if length.wait_for(|length| *length > next).await.is_err() {
                    return;
                }
                let fresh = self.since(next, seen);
                next += fresh.len();
                for (after, event) in fresh.into_iter().flatten() {
                    let last = event.is_last();
                    yield (after, event);
                    if last {
                        return;
                    }
                }
            }
        }
    }

    /// The events from the `from`th on, as far as they were not seen.
    fn since(&self, from: usize, seen: Option<Seen>) -> Vec<Option<(Seen, Event)>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.filter(|seen| seen.run == events.last.run).unwrap_or_default();
        let unseen = |(after, event): &(Seen, Event)| {
            let unseen = match event {
                Event::Accepted(_) => seen.stage < ACCEPTED,
                Event::Retrieval(_) => seen.stage < RETRIEVED,
                Event::Analysis(analysis) => bit(&events.documents, analysis.document_id) & seen.analyses == 0,
                Event::Delta(text) => {
                    let known = (seen.characters + text.chars().count()).saturating_sub(after.characters);
                    let rest: String = text.chars().skip(known).collect();
                    return (!rest.is_empty()).then_some((*after, Event::Delta(rest)));
                }
                Event::Done(_) | Event::Error(_) => true,
            };
            unseen.then(|| (*after, event.clone()))
        };
        events.all.get(from..).unwrap_or_default().iter().map(unseen).collect()
    }
}

/// The bit of a document, by its rank; none beyond the documents that a question can have.
fn bit(documents: &[DocumentId], id: DocumentId) -> u64 {
    let rank = documents.iter().position(|document| *document == id).and_then(|rank| u32::try_from(rank).ok());
    rank.and_then(|rank| 1_u64.checked_shl(rank)).unwrap_or_default()
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:x}-{}", self.run, self.stage, self.analyses, self.characters)
    }
}

/// Why a text does not tell what was seen.
#[derive(Debug, thiserror::Error)]
#[error("not the id of an event")]
pub struct NotSeen;

impl FromStr for Seen {
    type Err = NotSeen;

    fn from_str(text: &str) -> Result<Self, NotSeen> {
        let parts: Vec<&str> = text.split('-').collect();
        let [run, stage, analyses, characters] = parts[..] else { return Err(NotSeen) };
        Ok(Self {
            run: run.parse().map_err(|_| NotSeen)?,
            stage: stage.parse().map_err(|_| NotSeen)?,
            analyses: u64::from_str_radix(analyses, 16).map_err(|_| NotSeen)?,
            characters: characters.parse().map_err(|_| NotSeen)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};

    use futures_util::{StreamExt as _, poll};

    use super::*;
    use crate::error::{Code, Problem};

    fn delta(text: &str) -> Event {
        Event::Delta(text.to_owned())
    }

    fn last() -> Event {
        Event::Error(Problem::new(Code::Internal, "x"))
    }

    fn seen(text: &str) -> Option<Seen> {
        Some(text.parse().unwrap())
    }

    async fn texts(log: &Arc<EventLog>, from: Option<Seen>) -> Vec<String> {
        let events = Arc::clone(log).follow(from).map(|(seen, event)| match event {
            Event::Delta(text) => format!("{seen} {text}"),
            Event::Accepted(_) => format!("{seen} accepted"),
            Event::Retrieval(_) | Event::Analysis(_) | Event::Done(_) | Event::Error(_) => seen.to_string(),
        });
        events.collect().await
    }

    #[tokio::test]
    async fn a_follower_goes_on_from_any_character_and_then_to_the_end() {
        let log = Arc::new(EventLog::new(2));
        log.push(Event::Accepted(QuestionId::new()));
        log.push(delta("ab"));
        let mut follower = Box::pin(Arc::clone(&log).follow(seen("2-1-0-1")));
        assert_eq!(follower.next().await, Some((seen("2-1-0-2").unwrap(), delta("b"))));
        assert!(poll!(follower.next()).is_pending());
        log.push(delta("水"));
        log.push(last());
        assert_eq!(follower.next().await.unwrap().1, delta("水"));
        assert_eq!(follower.next().await.unwrap().1, last());
        assert_eq!(follower.next().await, None);
        assert_eq!(texts(&log, seen("2-1-0-2")).await, ["2-1-0-3 水", "2-3-0-3"]);
        let all = ["2-1-0-0 accepted", "2-1-0-2 ab", "2-1-0-3 水", "2-3-0-3"];
        assert_eq!(texts(&log, None).await, all);
        assert_eq!(texts(&log, seen("1-1-0-2")).await, all, "another run begins anew");
    }

    #[test]
    fn who_waits_for_the_end_alone_is_not_woken_before() {
        #[derive(Default)]
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let log = EventLog::new(1);
        let mut ended = pin!(log.ended());
        assert!(ended.as_mut().poll(&mut context).is_pending());
        log.push(delta("ab"));
        assert!(!woken.0.load(Ordering::Relaxed));
        log.push(last());
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(matches!(ended.poll(&mut context), Poll::Ready(Err(problem)) if problem.code == Code::Internal));
    }

    #[test]
    fn what_is_no_event_id_is_refused() {
        for text in ["", "7", "1-2-3", "1-2-x-4", "a-b-c-d", "1-2-3-4-5"] {
            assert!(text.parse::<Seen>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn running_questions_are_bounded_and_waited_for() {
        let live = LiveQuestions::default();
        live.idle().await;
        let id = QuestionId::new();
        assert!(live.begin(id, 0, None, 1).is_ok());
        assert_eq!(live.begin(QuestionId::new(), 0, None, 1).err(), Some(NotBegun::Full));
        assert_eq!(live.begin(id, 1, None, 1).err(), Some(NotBegun::Running));
        assert!(live.log(id).is_some());
        let mut idle = Box::pin(live.idle());
        assert!(poll!(&mut idle).is_pending());
        live.end(id);
        idle.await;
        assert_eq!(live.count(), 0);
        live.close();
        assert_eq!(live.begin(id, 0, None, 1).err(), Some(NotBegun::Closed));
    }

    #[test]
    fn who_asks_the_same_at_the_same_time_shares_the_work() {
        let live = LiveQuestions::default();
        let (first, second) = (QuestionId::new(), QuestionId::new());
        let begin = |id, asking: &str| live.begin(id, 0, Some(asking.to_owned()), 9);
        assert!(matches!(begin(first, "a"), Ok(Begun::New(_))));
        assert!(matches!(begin(second, "a"), Ok(Begun::Shared(id, _)) if id == first));
        assert!(matches!(begin(second, "b"), Ok(Begun::New(_))));
        live.end(first);
        assert!(matches!(begin(first, "a"), Ok(Begun::New(_))), "what has ended is not shared");
    }
}
