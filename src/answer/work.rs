//! A question in work: what a client asked, made definite, and the record that fills up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::conversation::{self, Turn};
use super::prompt;
use crate::app::App;
use crate::error::{Problem, check_length};
use crate::live::EventLog;
use crate::llm::Gate;
use crate::model::filter::Filter;
use crate::model::{
    Coverage, DocumentId, Event, KeptAnalysis, Mode, Models, QuestionDetail, QuestionId, QuestionRecord,
    QuestionStatus, RetrievedDocument, RunSettings, Timings, Usage, whole_ms,
};

/// The longest question, in characters.
const MAX_QUESTION_CHARS: usize = 8_000;

/// The longest name of a conversation, in characters.
const MAX_NAME_CHARS: usize = 200;

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
    /// Only documents that it admits.
    pub filter: Option<Filter>,
    /// The conversation that the question is part of.
    pub conversation_id: Option<String>,
    /// What was said before, oldest turn first, where the asker and not the store keeps the conversation.
    pub history: Vec<Turn>,
    /// Ceiling of the upstream cost.
    pub max_cost_usd: Option<f64>,
    /// Time for the whole question, in milliseconds.
    pub deadline_ms: Option<u64>,
}

/// A question in work.
pub(super) struct Work {
    pub(super) record: QuestionRecord,
    pub(super) detail: QuestionDetail,
    /// Analyses of an earlier run that need not be made again; what they cost is in the record already.
    pub(super) kept: Vec<KeptAnalysis>,
    /// The documents to read, where they are not to be searched for.
    pub(super) documents: Option<Vec<RetrievedDocument>>,
    /// The conversation so far, oldest turn first.
    pub(super) history: Vec<Turn>,
    pub(super) begun: Instant,
    pub(super) deadline: Instant,
    pub(super) log: Arc<EventLog>,
    /// Open once the question is in the store: nothing is told of it before. Where it cannot be stored, the work on it is
    /// broken off.
    pub(super) stored: Gate,
    /// What calls wait for, if for anything.
    pub(super) calls_wait: Option<Gate>,
    /// What a call under way may cost, in USD.
    pub(super) reserved_usd: f64,
}

impl Work {
    /// Checks a question and makes its parameters definite.
    pub(super) fn of(app: &App, ask: Ask) -> Result<Self, Problem> {
        let question = ask.question.trim().to_owned();
        if question.is_empty() {
            return Err(Problem::parameter("question", "question must not be empty"));
        }
        check_length("question", &question, MAX_QUESTION_CHARS)?;
        if let Some(name) = &ask.conversation_id {
            check_length("conversation_id", name, MAX_NAME_CHARS)?;
        }
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
        let settings =
            RunSettings { top_k, filter: ask.filter, deadline_ms: whole_ms(time), max_cost_usd, ..Self::settings(app) };
        let mut record = blank(app, question, settings);
        record.conversation_id = ask.conversation_id;
        record.collection = ask.collection;
        let history = conversation::within_bounds(ask.history.into_iter().rev());
        Ok(Self { history, ..Self::on(app, record) })
    }

    /// Work on a record as it stands, with its whole time before it.
    pub(super) fn on(app: &App, mut record: QuestionRecord) -> Self {
        let settings = &mut record.settings;
        if settings.analysis_models.is_empty() {
            // From before settings were kept.
            *settings = Self::settings(app);
        }
        settings.prompts = prompts();
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(settings.deadline_ms);
        Self {
            record,
            detail: QuestionDetail::default(),
            kept: Vec::new(),
            documents: None,
            history: Vec::new(),
            begun,
            deadline,
            log: Arc::new(EventLog::new(0)),
            stored: Gate::opened(),
            calls_wait: None,
            reserved_usd: 0.0,
        }
    }

    /// The server's own settings.
    fn settings(app: &App) -> RunSettings {
        RunSettings {
            top_k: app.config.top_k,
            filter: None,
            deadline_ms: whole_ms(app.config.answer_deadline),
            max_cost_usd: app.config.max_cost_usd,
            analysis_models: app.config.llm.analysis_models.clone(),
            synthesis_models: app.config.llm.synthesis_models.clone(),
            analysis_temperature: super::analyse::TEMPERATURE,
            synthesis_temperature: super::synthesise::TEMPERATURE,
            prompts: prompts(),
        }
    }

    /// What documents are searched and read for.
    pub(super) fn question(&self) -> &str {
        self.record.standalone_question.as_deref().unwrap_or(&self.record.question)
    }

    /// Whether a call of this cost fits below the ceiling, beside what was spent and what is reserved.
    pub(super) fn can_pay(&self, cost_usd: f64) -> bool {
        let spent = self.record.usage.cost_usd + self.reserved_usd;
        self.record.settings.max_cost_usd.is_none_or(|ceiling| spent + cost_usd <= ceiling)
    }

    /// Names all that the answer depends on, for those who ask the same at the same time.
    pub(super) fn asking(&self) -> String {
        let record = &self.record;
        let settings = &record.settings;
        let mut hash = Sha256::new();
        for part in [
            Some(record.question.clone()),
            record.collection.clone(),
            record.conversation_id.clone(),
            settings.filter.as_ref().map(|filter| format!("{:?}", filter.conditions())),
            Some(format!("{} {} {:?}", settings.top_k, settings.deadline_ms, settings.max_cost_usd)),
            Some(format!("{:?} {:?}", settings.analysis_models, settings.synthesis_models)),
            Some(format!("{:?}", self.history)),
        ] {
            hash.update([u8::from(part.is_some())]);
            hash.update(part.unwrap_or_default());
            hash.update([0]);
        }
        hex::encode(hash.finalize())
    }

    /// The analysis of an earlier run, if the document still is what was read.
    pub(super) fn kept(&self, id: DocumentId, content_hash: &str) -> Option<KeptAnalysis> {
        let same = |kept: &&KeptAnalysis| kept.analysis.document_id == id && kept.analysis.content_hash == content_hash;
        self.kept.iter().find(same).cloned()
    }

    /// Tells a further stretch of the answer, and notes when the first one came.
    pub(super) fn say(&mut self, text: String) {
        let elapsed = whole_ms(self.begun.elapsed());
        self.record.timings_ms.first_token.get_or_insert(elapsed);
        self.log.push(Event::Delta(text));
    }

    /// When analyses stop: what remains is for the synthesis.
    pub(super) fn analysis_deadline(&self) -> Instant {
        let reserve = (self.deadline - self.begun).mul_f64(SYNTHESIS_SHARE).min(SYNTHESIS_RESERVE);
        self.deadline - reserve
    }
}

/// A record of a question that runs and has nothing yet.
pub(super) fn blank(app: &App, question: String, settings: RunSettings) -> QuestionRecord {
    QuestionRecord {
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
        conversation_id: None,
        collection: None,
        removed_marks: 0,
        uncited_sentences: Vec::new(),
        standalone_question: None,
        translated_question: None,
        replay_of: None,
        run: 0,
        settings,
        feedback: None,
        error: None,
        stale: false,
        stale_documents: Vec::new(),
        created_at: now_ms(),
    }
}

fn prompts() -> BTreeMap<String, String> {
    prompt::ALL.iter().map(|prompt| (prompt.purpose.clone(), prompt.version.clone())).collect()
}

/// Now, in whole milliseconds, as the store keeps times.
pub(super) fn now_ms() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}
