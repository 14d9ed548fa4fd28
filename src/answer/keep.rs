//! What was found is told, and analyses are kept as they finish, beside the work that goes on: those that finish together
//! share one write, and each is sent once it is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Work;
use crate::app::App;
use crate::error::{Code, Problem};
use crate::model::Event;
use crate::store::{FinishedAnalysis, StoreError};

/// Analyses of one write at the most; a question has no more documents than this.
const GROUP: usize = 50;

/// Analyses that finish so soon after each other share a write: those of documents read at the same time nearly do. It
/// also leaves the processor to the work on them first.
const GATHER: Duration = Duration::from_millis(2);

/// Keeps the analyses of one question.
pub(super) struct Keeper {
    finished: mpsc::UnboundedSender<FinishedAnalysis>,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Keeper {
    /// Begins once documents are found.
    pub(super) fn start(app: &App, work: &Work) -> Self {
        let (finished, waiting) = mpsc::unbounded_channel();
        let (store, log, stored) = (Arc::clone(&app.store), Arc::clone(&work.log), work.stored.clone());
        let (question, retrieved) = (work.record.id, work.record.retrieved.clone());
        let task = tokio::spawn(async move {
            let (mut waiting, mut group) = (waiting, Vec::new());
            if !stored.passed().await {
                return Ok(());
            }
            log.push(Event::Retrieval(retrieved));
            while waiting.recv_many(&mut group, GROUP).await > 0 {
                let until = Instant::now() + GATHER;
                // No more come where the channel is closed.
                while group.len() < GROUP
                    && let Ok(Some(finished)) = timeout_at(until, waiting.recv()).await
                {
                    group.push(finished);
                }
                store.keep_analyses(question, &group).await?;
                for kept in group.drain(..) {
                    log.push(Event::Analysis(Arc::new(kept.made.analysis)));
                }
            }
            Ok(())
        });
        Self { finished, task }
    }

    pub(super) fn keep(&self, finished: FinishedAnalysis) {
        // A task that has ended says why in `kept`.
        let _ = self.finished.send(finished);
    }

    /// Ends when all analyses are kept and sent.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub(super) async fn kept(self) -> Result<(), Problem> {
        drop(self.finished);
        match self.task.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => {
                Err(Problem::new(Code::Internal, "keeping the analyses stopped at a fault of the server; see its log"))
            }
        }
    }
}
