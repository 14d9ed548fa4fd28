//! Question → stored answer.
//!
//! [`ask`] stores the question and starts the work; [`answer`] is the work, from the top: understand a follow-up,
//! retrieve the best documents, analyse each concurrently, synthesise one answer from what is relevant, cite, keep.
//! Where no model can be reached the extractive mode does the models' part with the documents' own sentences, and the
//! record says so. [`again`] takes questions up once more; [`standing`] analyses documents without any question.

mod again;
mod analyse;
mod choose;
mod cite;
mod conversation;
mod extractive;
mod find;
mod form;
mod halves;
mod hybrid;
mod inert;
mod keep;
mod marks;
mod pieces;
mod prompt;
mod relay;
mod reply;
mod retrieve;
mod sentences;
mod standing;
mod synthesise;
mod translate;
mod uncited;
mod work;

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use again::{Replay, rate, recover, replay, retry, stop};
pub use conversation::Turn;
pub use find::{Find, Found, FoundPassage, Hit, SearchMode, find};
pub use standing::{MAX_DOCUMENTS, Standing, Summarise, summarise};
pub use work::Ask;

use self::analyse::{Analysed, Cached};
use self::keep::Keeper;
use self::retrieve::Retrieved;
use self::synthesise::{Draft, Source};
use self::work::Work;
use crate::app::App;
use crate::error::{Code, Problem};
use crate::live::{Begun, EventLog, NotBegun};
use crate::llm::Gate;
use crate::model::{
    Analysis, AnalysisReplies, AnalysisStatus, Coverage, Event, Mode, QuestionId, QuestionRecord, QuestionStatus,
    RetrievedDocument, whole_ms,
};
use crate::store::StoreError;

/// Questions that may run at once; more are refused rather than queued until nobody waits for them any more.
const MAX_RUNNING: usize = 1_000;

/// Stores a question and starts to answer it. The work goes on whoever follows its events; the record is stored
/// before the last event is sent. What is being answered already is not answered twice: who asks the same in the same
/// way meanwhile gets that question's id and events.
///
/// # Errors
/// Parameters out of range, too many running questions, and a store that cannot be written.
pub async fn ask(app: &Arc<App>, ask: Ask) -> Result<(QuestionId, Arc<EventLog>), Problem> {
    begin(app, Work::of(app, ask)?).await
}

/// Keeps a new question and starts the work on it.
async fn begin(app: &Arc<App>, mut work: Work) -> Result<(QuestionId, Arc<EventLog>), Problem> {
    let id = work.record.id;
    let asking = Some(work.asking()).filter(|_| work.record.replay_of.is_none());
    let log = match app.live.begin(id, work.record.run, asking, MAX_RUNNING).map_err(not_begun)? {
        Begun::Shared(id, log) => {
            metrics::counter!("dokkai_questions_shared_total").increment(1);
            return Ok((id, log));
        }
        Begun::New(log) => log,
    };
    work.log = Arc::clone(&log);
    let (app, events) = (Arc::clone(app), Arc::clone(&log));
    whoever_waits(Arc::clone(&app), id, Arc::clone(&log), async move {
        let stored = Gate::default();
        // A slow disk must not hold calls up. But where the last question could not be stored, this one's would be paid
        // for in vain.
        let calls_wait = (!app.live.can_store()).then(|| stored.clone());
        let work = Work { stored: stored.clone(), calls_wait, ..work };
        let record = work.record.clone();
        let working = start(&app, work);
        // The search begins first: the database's thread may take this processor for its own.
        tokio::task::yield_now().await;
        let added = app.store.add_question(&record).await;
        app.live.stored(added.is_ok());
        if added.is_ok() {
            events.push(Event::Accepted(id));
            stored.open();
        } else {
            stored.shut();
            working.abort();
        }
        added
    })
    .await?;
    Ok((id, log))
}

/// Stores a question and starts the work on it, to the end: a client that leaves at this very moment must not leave a
/// question behind that nobody answers. Where it cannot be stored, it runs no longer.
async fn whoever_waits(
    app: Arc<App>,
    id: QuestionId,
    log: Arc<EventLog>,
    storing: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> Result<(), Problem> {
    let runtime = app.runtime.clone();
    let beginning = runtime.spawn(async move {
        let stored = storing.await.map_err(Problem::from);
        if let Err(problem) = &stored {
            // Somebody may share it already.
            log.push(Event::Error(problem.clone()));
            app.live.end(id);
        }
        stored
    });
    let fault = |_| Problem::new(Code::Internal, "the question could not be begun; see the server's log");
    beginning.await.map_err(fault)?
}

fn start(app: &Arc<App>, work: Work) -> AbortHandle {
    if work.stored.is_open() {
        work.log.push(Event::Accepted(work.record.id));
    }
    let app = Arc::clone(app);
    tokio::spawn(async move { finish(&app, work).await }).abort_handle()
}

/// A log for a question that is taken up again.
fn new_log(app: &App, id: QuestionId, run: u32) -> Result<Arc<EventLog>, Problem> {
    match app.live.begin(id, run, None, MAX_RUNNING).map_err(not_begun)? {
        Begun::New(log) | Begun::Shared(_, log) => Ok(log),
    }
}

fn not_begun(refused: NotBegun) -> Problem {
    let (code, message) = match refused {
        NotBegun::Full => (Code::Overloaded, "too many questions are running; ask again in a moment"),
        NotBegun::Closed => (Code::ShuttingDown, "the server is stopping; ask again in a moment"),
        NotBegun::Running => (Code::QuestionRunning, "the question is still being answered; follow its events"),
    };
    Problem { retry_after_s: Some(1), ..Problem::new(code, message) }
}

/// Answers, keeps the record and sends the last event, whatever happens on the way.
async fn finish(app: &App, mut work: Work) {
    let id = work.record.id;
    let log = Arc::clone(&work.log);
    let outcome = tokio::select! {
        // A fault of ours must not leave the question running for ever.
        outcome = std::panic::AssertUnwindSafe(answer(app, &mut work)).catch_unwind() => outcome,
        () = log.stopped() => Ok(Err(Problem::new(Code::Stopped, "the question was stopped; retry it to go on"))),
    };
    if !work.stored.passed().await {
        return;
    }
    let problem = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem),
        Err(_) => Some(Problem::new(Code::Internal, "answering stopped at a fault of the server; see its log")),
    };
    if problem.as_ref().is_some_and(|problem| problem.code == Code::Stopped) {
        again::keep_what_is_made(&mut work);
    }
    let record = &mut work.record;
    if let Some(problem) = problem {
        tracing::warn!(question = %id, code = problem.code.as_str(), "question failed");
        record.status = QuestionStatus::Failed;
        record.error = Some(problem);
    }
    record.coverage = coverage(record);
    record.timings_ms.total = whole_ms(work.begun.elapsed());
    let kept = app.store.finish_question(record, &work.detail).await;
    metrics::counter!("dokkai_questions_total", "status" => record.status.as_str(), "mode" => record.mode.as_str())
        .increment(1);
    metrics::histogram!("dokkai_question_seconds").record(work.begun.elapsed().as_secs_f64());
    let record = Arc::new(work.record);
    log.push(match kept {
        Ok(()) => Event::Done(Arc::clone(&record)),
        Err(error) => Event::Error(error.into()),
    });
    app.live.end(id);
    // Nobody waits for this.
    tracing::info!(
        question = %id,
        status = record.status.as_str(),
        mode = record.mode.as_str(),
        total_ms = record.timings_ms.total,
        cost_usd = record.usage.cost_usd,
        upstream_calls = record.usage.upstream_calls,
        "question answered"
    );
}

/// The story of a question.
async fn answer(app: &App, work: &mut Work) -> Result<(), Problem> {
    conversation::understand(app, work).await?;
    let begun = Instant::now();
    let cached = analyse::cached(app, work);
    let retrieving = async {
        match work.documents.take() {
            Some(documents) => Ok((retrieve::again(app, &documents).await?, None)),
            None => translate::retrieve(app, work).await,
        }
    };
    let (retrieved, cached) = tokio::join!(retrieving, cached);
    let (retrieved, translating) = retrieved?;
    work.record.timings_ms.retrieval = whole_ms(begun.elapsed());
    work.record.retrieved = retrieved.iter().map(offered).collect();

    let keeper = Keeper::start(app, work);
    let (analysed, late) = translate::beside(analyse(app, work, &retrieved, cached, &keeper), translating).await;
    if let Some(translated) = late {
        translated.count(work);
    }
    let analysed = still_there(app, work, &retrieved, analysed).await?;
    let sources = synthesise::sources(work.question(), &analysed);
    if sources.is_empty() {
        work.record.status = if work.record.analyses.iter().any(Analysis::is_missing) {
            QuestionStatus::Partial
        } else {
            QuestionStatus::NoEvidence
        };
        work.record.answer = synthesise::nothing_found(&work.record.question, work.record.status).to_owned();
        keeper.kept().await?;
        work.say(work.record.answer.clone());
        return Ok(());
    }

    let begun = Instant::now();
    let draft = synthesise(app, work, &sources, keeper).await?;
    let citations = cite::citations(app, &draft.marks, &sources, &retrieved).await;
    let record = &mut work.record;
    record.timings_ms.synthesis = whole_ms(begun.elapsed());
    record.citations = citations;
    record.removed_marks = draft.removed_marks;
    // Without a model each line is one quote, of several sentences at times, with its mark behind it.
    record.uncited_sentences = if record.mode == Mode::Model { uncited::uncited(&draft.text) } else { Vec::new() };
    record.answer = draft.text;
    record.status = if record.error.is_some()
        || record.mode_reason.is_some()
        || record.analyses.iter().any(|analysis| analysis.is_missing() || analysis.error.is_some())
    {
        QuestionStatus::Partial
    } else {
        QuestionStatus::Complete
    };
    Ok(())
}

/// Analyses the documents with the model, or from their own sentences where there is none or it fails for all that
/// could matter.
async fn analyse(
    app: &App,
    work: &mut Work,
    retrieved: &[Retrieved],
    cached: Cached,
    keeper: &Keeper,
) -> Vec<Analysed> {
    let begun = Instant::now();
    let mut analysed = if work.record.mode == Mode::Model {
        analyse::with_model(app, work, retrieved, cached, keeper).await
    } else {
        extractive::analyse_all(work.question(), retrieved, keeper)
    };
    let failure = analysed.iter().find_map(|one| one.analysis.error.clone().filter(|_| one.analysis.is_missing()));
    let useful = analysed.iter().any(|one| one.analysis.status == AnalysisStatus::Ok);
    if let (false, Some(failure)) = (useful, failure) {
        // Nothing relevant from the model, and documents that it did not get to read: read those without it.
        work.record.mode = Mode::Extractive;
        work.record.mode_reason = Some(failure);
        analysed = extractive::stand_in(work.question(), retrieved, analysed, keeper);
    }
    let record = &mut work.record;
    record.timings_ms.analysis = whole_ms(begun.elapsed());
    record.analyses = analysed.iter().map(|one| one.analysis.clone()).collect();
    // What was kept of an earlier run is paid for already.
    for one in analysed.iter().filter(|one| !one.kept) {
        record.usage.add(&one.analysis.usage);
    }
    work.detail.analyses = analysed
        .iter()
        .map(|one| AnalysisReplies { document_id: one.analysis.document_id, replies: one.replies.clone() })
        .collect();
    let mut models: Vec<String> = record.analyses.iter().filter_map(|analysis| analysis.model.clone()).collect();
    models.sort();
    models.dedup();
    record.models.analysis = models;
    analysed.sort_by(|a, b| b.analysis.relevance_score.total_cmp(&a.analysis.relevance_score));
    analysed
}

/// Leaves out documents that were deleted or replaced since they were retrieved: nothing of theirs may be cited.
async fn still_there(
    app: &App,
    work: &mut Work,
    retrieved: &[Retrieved],
    mut analysed: Vec<Analysed>,
) -> Result<Vec<Analysed>, Problem> {
    let unchanged = retrieve::unchanged(app, retrieved).await?;
    for analysis in work.record.analyses.iter_mut().filter(|analysis| !unchanged.contains(&analysis.document_id)) {
        let problem = Problem::new(Code::DocumentNotFound, "deleted or replaced while the question was answered");
        analysis.status = AnalysisStatus::Failed;
        analysis.error = Some(problem);
        analysis.evidence.clear();
    }
    analysed.retain(|one| unchanged.contains(&one.analysis.document_id));
    Ok(analysed)
}

/// Writes the answer with the model, or from the sources themselves where there is none or it fails before its first
/// word. The answer's first text comes after the last analysis is kept.
async fn synthesise(app: &App, work: &mut Work, sources: &[Source], keeper: Keeper) -> Result<Draft, Problem> {
    if work.record.mode == Mode::Model {
        let (draft, kept) = synthesise::with_model(app, work, sources, keeper).await;
        kept?;
        match draft {
            Ok(draft) => return Ok(draft),
            Err(problem) => {
                work.record.mode = Mode::Extractive;
                work.record.mode_reason = Some(problem);
            }
        }
    } else {
        keeper.kept().await?;
    }
    let draft = extractive::draft(work.question(), sources);
    work.say(draft.text.clone());
    Ok(draft)
}

fn offered(retrieved: &Retrieved) -> RetrievedDocument {
    RetrievedDocument {
        document_id: retrieved.document.id,
        title: retrieved.document.title.clone(),
        score: retrieved.score,
        passages: retrieved.ordinals(),
        best: retrieved.best.id.ordinal,
    }
}

fn coverage(record: &QuestionRecord) -> Coverage {
    let with = |status| count(record.analyses.iter().filter(|analysis| analysis.status == status).count());
    Coverage {
        retrieved: count(record.retrieved.len()),
        analysed: with(AnalysisStatus::Ok),
        irrelevant: with(AnalysisStatus::Irrelevant),
        failed: with(AnalysisStatus::Failed),
        timed_out: with(AnalysisStatus::TimedOut),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
