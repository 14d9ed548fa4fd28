//! Question → stored answer.
//!
//! [`ask`] stores the question and starts the work; [`answer`] is the work, from the top: retrieve the best documents,
//! analyse each concurrently, synthesise one answer from what is relevant, cite, keep. Where no model can be reached
//! the extractive mode does the models' part with the documents' own sentences, and the record says so.

mod analyse;
mod cite;
mod extractive;
mod find;
mod prompt;
mod retrieve;
mod synthesise;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use time::OffsetDateTime;
use tokio::time::Instant;

pub use find::{Find, Found, FoundPassage, Hit, SearchMode, find};

use self::analyse::Analysed;
use self::retrieve::Retrieved;
use self::synthesise::{Draft, Source};
use crate::app::App;
use crate::error::{Code, Problem, check_length};
use crate::live::{EventLog, NotBegun};
use crate::model::{
    AnalysisStatus, Coverage, DocumentId, Event, Mode, Models, QuestionId, QuestionRecord, QuestionStatus,
    RetrievedDocument, Timings, Usage,
};
use crate::store::KnownDocument;

/// Questions that may run at once; more are refused rather than queued until nobody waits for them any more.
const MAX_RUNNING: usize = 1_000;

/// The longest question, in characters.
const MAX_QUESTION_CHARS: usize = 8_000;

/// The part of a question's deadline that is kept for the synthesis, and its bound.
const SYNTHESIS_SHARE: f64 = 0.25;
const SYNTHESIS_RESERVE: Duration = Duration::from_secs(15);

/// A question as a client asks it.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// In the asker's words.
    pub question: String,
    /// Documents to analyse; the configured number where none is given.
    pub top_k: Option<usize>,
    /// Only documents of this collection.
    pub collection: Option<String>,
    /// The conversation that the question is part of.
    pub conversation_id: Option<String>,
    /// Ceiling of the upstream cost.
    pub max_cost_usd: Option<f64>,
    /// Time for the whole question, in milliseconds.
    pub deadline_ms: Option<u64>,
}

/// A question in work: its parameters made definite, and the record that fills up.
struct Work {
    record: QuestionRecord,
    top_k: usize,
    max_cost_usd: Option<f64>,
    begun: Instant,
    deadline: Instant,
    log: Arc<EventLog>,
}

/// Stores a question and starts to answer it. The work goes on whoever follows its events; the record is stored
/// before the last event is sent.
///
/// # Errors
/// Parameters out of range, too many running questions, and a store that cannot be written.
pub async fn ask(app: &Arc<App>, ask: Ask) -> Result<(QuestionId, Arc<EventLog>), Problem> {
    let mut work = prepare(app, ask)?;
    let id = work.record.id;
    work.log = app.live.begin(id, MAX_RUNNING).map_err(|refused| Problem {
        retry_after_s: Some(1),
        ..match refused {
            NotBegun::Full => Problem::new(Code::Overloaded, "too many questions are running; ask again in a moment"),
            NotBegun::Closed => Problem::new(Code::ShuttingDown, "the server is stopping; ask again in a moment"),
        }
    })?;
    if let Err(error) = app.store.add_question(&work.record).await {
        app.live.end(id);
        return Err(error.into());
    }
    let log = Arc::clone(&work.log);
    log.push(Event::Accepted(id));
    let app = Arc::clone(app);
    tokio::spawn(async move { finish(&app, work).await });
    Ok((id, log))
}

/// Marks questions that an earlier process left unanswered, keeping the analyses that are paid for.
///
/// # Errors
/// Where the store cannot be used.
pub async fn recover(app: &App) -> Result<(), Problem> {
    for id in app.store.unfinished_questions().await? {
        let mut record = app.store.question(id).await?;
        record.status = QuestionStatus::Failed;
        record.error = Some(Problem::new(Code::Interrupted, "the server stopped before the answer; ask again"));
        record.coverage = coverage(&record);
        app.store.finish_question(&record).await?;
        tracing::info!(question = %id, "marked an interrupted question as failed");
    }
    Ok(())
}

fn prepare(app: &App, ask: Ask) -> Result<Work, Problem> {
    let question = ask.question.trim().to_owned();
    if question.is_empty() {
        return Err(Problem::parameter("question", "question must not be empty"));
    }
    check_length("question", &question, MAX_QUESTION_CHARS)?;
    let top_k = ask.top_k.unwrap_or(app.config.top_k);
    if !(1..=50).contains(&top_k) {
        return Err(Problem::parameter("top_k", "top_k must be from 1 to 50"));
    }
    if ask.max_cost_usd.is_some_and(|usd| !usd.is_finite() || usd < 0.0) {
        return Err(Problem::parameter("max_cost_usd", "max_cost_usd must not be negative"));
    }
    let time = ask.deadline_ms.map_or(app.config.answer_deadline, Duration::from_millis);
    if time.is_zero() || time > Duration::from_secs(600) {
        return Err(Problem::parameter("deadline_ms", "deadline_ms must be from 1 to 600000"));
    }
    // The stricter of the server's ceiling and the client's.
    let max_cost_usd = match (ask.max_cost_usd, app.config.max_cost_usd) {
        (Some(asked), Some(configured)) => Some(asked.min(configured)),
        (asked, configured) => asked.or(configured),
    };
    let begun = Instant::now();
    let record = QuestionRecord {
        id: QuestionId::new(),
        question,
        status: QuestionStatus::Running,
        mode: if app.llm.is_configured() { Mode::Model } else { Mode::Extractive },
        mode_reason: None,
        answer: String::new(),
        citations: Vec::new(),
        retrieved: Vec::new(),
        analyses: Vec::new(),
        coverage: Coverage::default(),
        usage: Usage::default(),
        timings_ms: Timings::default(),
        models: Models::default(),
        conversation_id: ask.conversation_id,
        collection: ask.collection,
        removed_marks: 0,
        error: None,
        stale: false,
        stale_documents: Vec::new(),
        created_at: now_ms(),
    };
    Ok(Work { record, top_k, max_cost_usd, begun, deadline: begun + time, log: Arc::default() })
}

/// Answers, keeps the record and sends the last event, whatever happens on the way.
async fn finish(app: &App, mut work: Work) {
    let id = work.record.id;
    // A fault of ours must not leave the question running for ever.
    let outcome = std::panic::AssertUnwindSafe(answer(app, &mut work)).catch_unwind().await;
    let problem = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(problem),
        Err(_) => Some(Problem::new(Code::Internal, "answering stopped at a fault of the server; see its log")),
    };
    let record = &mut work.record;
    if let Some(problem) = problem {
        tracing::warn!(question = %id, code = problem.code.as_str(), "question failed");
        record.status = QuestionStatus::Failed;
        record.error = Some(problem);
    }
    record.coverage = coverage(record);
    record.timings_ms.total = ms(work.begun.elapsed());
    let last = match app.store.finish_question(record).await {
        Ok(()) => Event::Done(Box::new(record.clone())),
        Err(error) => Event::Error(error.into()),
    };
    tracing::info!(
        question = %id,
        status = record.status.as_str(),
        mode = record.mode.as_str(),
        total_ms = record.timings_ms.total,
        cost_usd = record.usage.cost_usd,
        upstream_calls = record.usage.upstream_calls,
        "question answered"
    );
    metrics::counter!("dokkai_questions_total", "status" => record.status.as_str(), "mode" => record.mode.as_str())
        .increment(1);
    metrics::histogram!("dokkai_question_seconds").record(work.begun.elapsed().as_secs_f64());
    work.log.push(last);
    app.live.end(id);
}

/// The story of a question.
async fn answer(app: &App, work: &mut Work) -> Result<(), Problem> {
    let retrieved =
        retrieve::retrieve(app, &work.record.question, work.record.collection.as_deref(), work.top_k).await?;
    work.record.timings_ms.retrieval = ms(work.begun.elapsed());
    work.record.retrieved = retrieved.iter().map(offered).collect();
    work.log.push(Event::Retrieval(work.record.retrieved.clone()));

    let analysed = analyse(app, work, &retrieved).await?;
    let analysed = still_there(app, work, &retrieved, analysed).await?;
    let sources = synthesise::sources(&work.record.question, &analysed);
    if sources.is_empty() {
        work.record.status = if work.record.analyses.iter().any(is_missing) && !work.record.analyses.is_empty() {
            QuestionStatus::Partial
        } else {
            QuestionStatus::NoEvidence
        };
        work.record.answer = synthesise::nothing_found(&work.record.question, work.record.status).to_owned();
        work.first_text();
        work.log.push(Event::Delta(work.record.answer.clone()));
        return Ok(());
    }

    let begun = Instant::now();
    let draft = synthesise(app, work, &sources).await;
    let citations = cite::citations(app, &draft.marks, &sources).await;
    let record = &mut work.record;
    record.timings_ms.synthesis = ms(begun.elapsed());
    record.citations = citations;
    record.removed_marks = draft.removed_marks;
    record.answer = draft.text;
    record.status = if record.error.is_some() || record.mode_reason.is_some() || record.analyses.iter().any(is_missing)
    {
        QuestionStatus::Partial
    } else {
        QuestionStatus::Complete
    };
    Ok(())
}

/// Analyses the documents with the model, or from their own sentences where there is none or it fails for all that
/// could matter.
async fn analyse(app: &App, work: &mut Work, retrieved: &[Retrieved]) -> Result<Vec<Analysed>, Problem> {
    let begun = Instant::now();
    let mut analysed = if work.record.mode == Mode::Model {
        analyse::with_model(app, work, retrieved).await?
    } else {
        extractive::analyse_all(app, work, retrieved).await?
    };
    let failure = analysed.iter().find_map(|one| one.analysis.error.clone().filter(|_| is_missing(&one.analysis)));
    let useful = analysed.iter().any(|one| one.analysis.status == AnalysisStatus::Ok);
    if let (false, Some(failure)) = (useful, failure) {
        // Nothing relevant from the model, and documents that it did not get to read: read those without it.
        work.record.mode = Mode::Extractive;
        work.record.mode_reason = Some(failure);
        analysed = extractive::stand_in(app, work, retrieved, analysed).await?;
    }
    let record = &mut work.record;
    record.timings_ms.analysis = ms(begun.elapsed());
    record.analyses = analysed.iter().map(|one| one.analysis.clone()).collect();
    for analysis in &record.analyses {
        record.usage.add(&analysis.usage);
    }
    let mut models: Vec<String> = record.analyses.iter().filter_map(|analysis| analysis.model.clone()).collect();
    models.sort();
    models.dedup();
    record.models.analysis = models;
    analysed.sort_by(|a, b| b.analysis.relevance_score.total_cmp(&a.analysis.relevance_score));
    Ok(analysed)
}

/// Leaves out documents that were deleted or replaced since they were retrieved: nothing of theirs may be cited.
async fn still_there(
    app: &App,
    work: &mut Work,
    retrieved: &[Retrieved],
    mut analysed: Vec<Analysed>,
) -> Result<Vec<Analysed>, Problem> {
    let ids: Vec<DocumentId> = retrieved.iter().map(|one| one.document.id).collect();
    let known = app.store.known_documents(&ids).await?;
    let is_there = |id: DocumentId| {
        let hash = |one: &&KnownDocument| (one.id == id).then(|| one.content_hash.clone());
        let read = retrieved.iter().map(|one| &one.document).find_map(|one| hash(&one));
        known.iter().find_map(|one| hash(&one)) == read
    };
    for analysis in work.record.analyses.iter_mut().filter(|analysis| !is_there(analysis.document_id)) {
        let problem = Problem::new(Code::DocumentNotFound, "deleted or replaced while the question was answered");
        analysis.status = AnalysisStatus::Failed;
        analysis.error = Some(problem);
        analysis.evidence.clear();
    }
    analysed.retain(|one| is_there(one.analysis.document_id));
    Ok(analysed)
}

/// Writes the answer with the model, or from the sources themselves where there is none or it fails before its first
/// word.
async fn synthesise(app: &App, work: &mut Work, sources: &[Source]) -> Draft {
    if work.record.mode == Mode::Model {
        match synthesise::with_model(app, work, sources).await {
            Ok(draft) => return draft,
            Err(problem) => {
                work.record.mode = Mode::Extractive;
                work.record.mode_reason = Some(problem);
            }
        }
    }
    let draft = extractive::synthesise(sources);
    work.first_text();
    work.log.push(Event::Delta(draft.text.clone()));
    draft
}

impl Work {
    /// Notes that the answer's first text is there.
    fn first_text(&mut self) {
        let elapsed = ms(self.begun.elapsed());
        self.record.timings_ms.first_token.get_or_insert(elapsed);
    }

    /// When analyses stop: what remains is for the synthesis.
    fn analysis_deadline(&self) -> Instant {
        let reserve = (self.deadline - self.begun).mul_f64(SYNTHESIS_SHARE).min(SYNTHESIS_RESERVE);
        self.deadline - reserve
    }
}

fn offered(retrieved: &Retrieved) -> RetrievedDocument {
    RetrievedDocument {
        document_id: retrieved.document.id,
        title: retrieved.document.title.clone(),
        score: retrieved.score,
    }
}

/// Whether the model's word on a document is missing.
fn is_missing(analysis: &crate::model::Analysis) -> bool {
    matches!(analysis.status, AnalysisStatus::Failed | AnalysisStatus::TimedOut)
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

/// Now, in whole milliseconds, as the store keeps times.
fn now_ms() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
