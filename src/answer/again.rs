//! Questions that are taken up again: after a crash, on request where something failed, or with other models.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::work::{Work, blank, now_ms};
use super::{coverage, start, whoever_waits};
use crate::app::App;
use crate::error::{Code, Problem, check_length};
use crate::live::EventLog;
use crate::model::{
    Analysis, Feedback, KeptAnalysis, Mode, Models, QuestionId, QuestionRecord, QuestionStatus, Rating, RunSettings,
    Usage,
};

/// A question older than this is not answered any more after a crash: nobody waits for it. It can be retried.
const RESUME_WITHIN: time::Duration = time::Duration::minutes(10);

/// How long the index may take to follow the store before an interrupted question is answered from what it has.
const INDEX_PATIENCE: Duration = Duration::from_secs(20);

/// The longest note of a reader, and name of a model, in characters.
const MAX_NOTE_CHARS: usize = 4_000;
const MAX_MODEL_CHARS: usize = 200;

/// The models of a replay; those of the original where none are given.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Analyses each document.
    pub analysis_model: Option<String>,
    /// Writes the answer.
    pub synthesis_model: Option<String>,
}

/// Takes up the questions that an earlier process left unanswered: their analyses are kept, only missing ones are
/// made. Old ones are marked as failed instead.
///
/// # Errors
/// Where the store cannot be used.
pub async fn recover(app: &Arc<App>) -> Result<(), Problem> {
    app.store.keep_prompts(&super::prompt::ALL).await?;
    for (id, kept) in app.store.unfinished_questions().await? {
        let mut record = app.store.question(id).await?;
        if OffsetDateTime::now_utc() - record.created_at > RESUME_WITHIN {
            record.status = QuestionStatus::Failed;
            record.error = Some(Problem::new(Code::Interrupted, "the server stopped before the answer; retry it"));
            record.coverage = coverage(&record);
            app.store.finish_question(&record, &Default::default()).await?;
            tracing::info!(question = %id, "marked an interrupted question as failed");
            continue;
        }
        // What the broken-off calls cost is known to nobody.
        let mut usage = Usage::default();
        kept.iter().for_each(|kept| usage.add(&kept.analysis.usage));
        record.usage = usage;
        let analyses = kept.iter().filter(|kept| is_finished(&kept.analysis)).count();
        match reopen(app, record, kept, true).await {
            Ok(_) => tracing::info!(question = %id, analyses, "taking up an interrupted question again"),
            // It waits in the store for the next start; the server is of use without it.
            Err(problem) => {
                tracing::warn!(question = %id, code = problem.code.as_str(), "a question stays interrupted")
            }
        }
    }
    Ok(())
}

/// Does again what failed or ran out of time of a finished question, and writes the answer anew. Analyses that
/// succeeded are kept.
///
/// # Errors
/// No such question; one that runs, or of which nothing failed; a store that cannot be used.
pub async fn retry(app: &Arc<App>, id: QuestionId) -> Result<Arc<EventLog>, Problem> {
    let record = finished(app, id).await?;
    let failed = record.status == QuestionStatus::Failed
        || record.error.is_some()
        || record.mode_reason.is_some()
        || record.analyses.iter().any(|analysis| !is_finished(analysis));
    if !failed {
        return Err(Problem::new(
            Code::NothingToRetry,
            "nothing of this question failed; ask it again for a new answer",
        ));
    }
    let detail = app.store.question_detail(id).await?.unwrap_or_default();
    let replies = |analysis: &Analysis| {
        let of_it = detail.analyses.iter().find(|one| one.document_id == analysis.document_id);
        of_it.map(|one| one.replies.clone()).unwrap_or_default()
    };
    let analyses = record.analyses.iter().filter(|analysis| is_finished(analysis));
    let kept = analyses.map(|one| KeptAnalysis { analysis: one.clone(), replies: replies(one) }).collect();
    reopen(app, record, kept, false).await
}

/// Ends the work on a question, for everyone who waits for it: its calls are broken off, and the record, once it is
/// there, says so. Its analyses so far are kept, so that a retry goes on from them. `None` where it is not running.
pub fn stop(app: &App, id: QuestionId) -> Option<Arc<EventLog>> {
    let log = app.live.log(id)?;
    log.stop();
    Some(log)
}

/// Puts into the record of a question that was stopped what was read of its documents by then.
pub(super) fn keep_what_is_made(work: &mut Work) {
    let record = &mut work.record;
    for made in work.log.analyses() {
        if !record.analyses.iter().any(|analysis| analysis.document_id == made.document_id) {
            record.usage.add(&made.usage);
            record.analyses.push(made);
        }
    }
}

/// Reads the documents of a finished question again, with the same or other models, as a question of its own.
///
/// # Errors
/// No such question, or one that runs; no upstream; a name that is none; a store that cannot be written.
pub async fn replay(
    app: &Arc<App>,
    id: QuestionId,
    replay: Replay,
) -> Result<(QuestionRecord, Arc<EventLog>), Problem> {
    let named = |param: &str, model: Option<String>| {
        let Some(model) = model else { return Ok(None) };
        check_length(param, &model, MAX_MODEL_CHARS)?;
        if model.trim().is_empty() {
            return Err(Problem::parameter(param, format!("{param} must name a model")));
        }
        Ok(Some(vec![model.trim().to_owned()]))
    };
    let analysis = named("analysis_model", replay.analysis_model)?;
    let synthesis = named("synthesis_model", replay.synthesis_model)?;
    if !app.llm.is_configured() {
        return Err(Problem::new(Code::NoUpstream, "a replay needs models; set DOKKAI_LLM_API_KEY"));
    }
    let original = finished(app, id).await?;
    // A record from before settings were kept names none.
    let same = |models: &[String], configured: &[String]| {
        if models.is_empty() { configured.to_vec() } else { models.to_vec() }
    };
    let (kept, configured) = (&original.settings, &app.config.llm);
    let settings = RunSettings {
        analysis_models: analysis.unwrap_or_else(|| same(&kept.analysis_models, &configured.analysis_models)),
        synthesis_models: synthesis.unwrap_or_else(|| same(&kept.synthesis_models, &configured.synthesis_models)),
        ..kept.clone()
    };
    let record = QuestionRecord {
        standalone_question: original.standalone_question.clone(),
        translated_question: original.translated_question.clone(),
        collection: original.collection.clone(),
        conversation_id: original.conversation_id.clone(),
        // One that replays a replay reads what the first question read, after the same turns.
        replay_of: original.replay_of.or(Some(id)),
        ..blank(app, original.question.clone(), settings)
    };
    let mut work = Work::on(app, record);
    work.documents = Some(original.retrieved.clone());
    Ok((original, super::begin(app, work).await?.1))
}

/// Keeps what a reader thought of an answer.
///
/// # Errors
/// No such question; a note that is too long; a store that cannot be written.
pub async fn rate(app: &App, id: QuestionId, rating: Rating, note: Option<String>) -> Result<Feedback, Problem> {
    let note = note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty());
    if let Some(note) = &note {
        check_length("note", note, MAX_NOTE_CHARS)?;
    }
    let feedback = Feedback { rating, note, given_at: now_ms() };
    app.store.keep_feedback(id, &feedback).await?;
    Ok(feedback)
}

async fn finished(app: &App, id: QuestionId) -> Result<QuestionRecord, Problem> {
    let record = app.store.question(id).await?;
    if record.status == QuestionStatus::Running || app.live.log(id).is_some() {
        return Err(Problem::new(Code::QuestionRunning, "the question is still being answered; follow its events"));
    }
    Ok(record)
}

/// Whether an analysis need not be made again: a model's word, or nothing that a model was to say.
fn is_finished(analysis: &Analysis) -> bool {
    analysis.error.is_none() && !analysis.is_missing()
}

/// Empties a record of what is to be made again, and starts the work.
async fn reopen(
    app: &Arc<App>,
    record: QuestionRecord,
    kept: Vec<KeptAnalysis>,
    interrupted: bool,
) -> Result<Arc<EventLog>, Problem> {
    let kept: Vec<KeptAnalysis> = kept
        .into_iter()
        // Without a model, analyses cost nothing and are made anew.
        .filter(|kept| is_finished(&kept.analysis) && kept.analysis.model.is_some())
        .collect();
    let documents = Some(record.retrieved.clone()).filter(|documents| !documents.is_empty());
    let record = QuestionRecord {
        status: QuestionStatus::Running,
        mode: if app.llm.is_configured() { Mode::Model } else { Mode::Extractive },
        mode_reason: None,
        answer: String::new(),
        citations: Vec::new(),
        analyses: kept.iter().map(|kept| kept.analysis.clone()).collect(),
        models: Models::default(),
        removed_marks: 0,
        uncited_sentences: Vec::new(),
        run: record.run + 1,
        error: None,
        timings_ms: Default::default(),
        ..record
    };
    let id = record.id;
    let log = super::new_log(app, id, record.run)?;
    let mut work = Work::on(app, record);
    work.kept = kept;
    work.documents = documents;
    work.log = Arc::clone(&log);
    let app = Arc::clone(app);
    whoever_waits(Arc::clone(&app), id, Arc::clone(&log), async move {
        app.store.reopen_question(&work.record).await?;
        if interrupted {
            tokio::spawn(async move {
                index_follows(&app).await;
                start(&app, work);
            });
        } else {
            start(&app, work);
        }
        Ok(())
    })
    .await?;
    Ok(log)
}

/// Waits until the index holds what the store held when the server started: a crash may have cost it changes.
async fn index_follows(app: &App) {
    let Ok(last) = app.store.last_change().await else { return };
    let mut settled = app.signals.settled.subscribe();
    let follows = async {
        while app.search.applied().await.is_ok_and(|applied| applied < last) {
            if settled.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(INDEX_PATIENCE, follows).await.is_err() {
        tracing::warn!("the index is behind; interrupted questions are answered from what it has");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AnalysisStatus;

    #[test]
    fn only_a_models_whole_word_is_finished() {
        let problem = Problem::new(Code::UpstreamTimeout, "x");
        let cases = [
            (AnalysisStatus::Ok, None, true),
            (AnalysisStatus::Irrelevant, None, true),
            (AnalysisStatus::Ok, Some(problem.clone()), false),
            (AnalysisStatus::Failed, Some(problem.clone()), false),
            (AnalysisStatus::TimedOut, Some(problem), false),
        ];
        for (status, error, expected) in cases {
            let json = serde_json::json!({
                "document_id": uuid::Uuid::nil(), "title": "", "relevance_score": 0.0, "summary": "", "key_points": [],
                "evidence": [], "status": status, "error": error, "cached": false, "model": null, "attempts": 0,
                "latency_ms": 0, "usage": Usage::default(),
            });
            let analysis: Analysis = serde_json::from_value(json).unwrap();
            assert_eq!(is_finished(&analysis), expected, "{status}");
        }
    }
}
