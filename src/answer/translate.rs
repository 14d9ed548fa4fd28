//! A question → the same question in the documents' other language, which words alone would not cross.
//!
//! The documents are searched for the question as it was asked at once, while the cheap model translates it. What a
//! translation finds joins before the analyses start, so that they cost as much as ever: it takes the places of what
//! fits less well. A translation is waited for a moment only. One that comes later is remembered for the next who asks;
//! one that fails changes nothing.
//!
//! Both rankings count the same, since which language answers is not known: on real files in two languages, with one
//! good translation a question, nDCG@10 went from .655 to .791, and did not fall where the question's own language answers.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::timeout_at;

use super::conversation::question_in;
use super::hybrid::Stretch;
use super::retrieve::{self, Among, Offered, Retrieved};
use super::{Work, extractive, prompt};
use crate::app::App;
use crate::config::Translate;
use crate::error::Problem;
use crate::llm::{Call, Kind, Purpose, Shape};
use crate::model::{DocumentId, Mode, Usage};

/// How long after its acceptance a question's analyses wait for its translation at the most, and as a part of its time.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_SHARE: f64 = 0.05;

/// How long a translation may take that is remembered for the next who asks, and as a part of the question's time.
const LONGEST: Duration = Duration::from_secs(10);
const SHARE: f64 = 0.2;

/// What the reply is to be, and its tokens.
const REPLY: Shape = Shape { name: "translated_question", fields: &[("question", Kind::Text)] };
const REPLY_TOKENS: u32 = 300;

/// Documents that each of two searches offers at the least.
const CANDIDATES: usize = 20;

/// A translation under way.
pub(super) struct Translating<'a>(Pin<Box<dyn Future<Output = Translated> + Send + 'a>>);

/// What became of a translation.
#[derive(Default)]
pub(super) struct Translated {
    /// The question in the other language; `None` where the call failed.
    question: Option<String>,
    /// What the model said.
    reply: Option<String>,
    usage: Usage,
}

/// The best documents for a question, as it was asked and as it was translated in time; and a translation that was not.
///
/// # Errors
/// Where the store or the index cannot be read.
pub(super) async fn retrieve<'a>(
    app: &'a App,
    work: &mut Work,
) -> Result<(Vec<Retrieved>, Option<Translating<'a>>), Problem> {
    let (collection, filter) = (work.record.collection.clone(), work.record.settings.filter.clone());
    let among = Among { collection: collection.as_deref(), filter: filter.as_ref() };
    let (question, top_k) = (work.question().to_owned(), work.record.settings.top_k);
    let Some(mut translating) = begin(app, work).await else {
        let offered = retrieve::offered(app, &question, among, top_k, top_k).await?;
        return Ok((retrieve::read(app, offered).await?, None));
    };
    let until = work.begun + (work.deadline - work.begun).mul_f64(PATIENCE_SHARE).min(PATIENCE);
    let wide = top_k.max(CANDIDATES);
    let in_time = async { timeout_at(until, &mut translating.0).await.ok() };
    let (offered, translated) = tokio::join!(retrieve::offered(app, &question, among, wide, top_k), in_time);
    let mut offered = offered?;
    let Some(translated) = translated else {
        offered.truncate(top_k);
        return Ok((retrieve::read(app, offered).await?, Some(translating)));
    };
    if let Some(translation) = translated.question.clone() {
        match retrieve::offered(app, &translation, among, wide, top_k).await {
            Ok(more) => offered = joined(offered, more),
            Err(problem) => tracing::warn!(code = problem.code.as_str(), "the translated question finds nothing"),
        }
        work.record.translated_question = Some(translation);
    }
    translated.count(work);
    offered.truncate(top_k);
    Ok((retrieve::read(app, offered).await?, None))
}

/// Does some work, and beside it goes on with a translation that came too late to be searched for.
pub(super) async fn beside<T>(work: impl Future<Output = T>, late: Option<Translating<'_>>) -> (T, Option<Translated>) {
    let Some(translating) = late else { return (work.await, None) };
    match select(pin!(work), translating.0).await {
        Either::Left((done, _)) => (done, None),
        Either::Right((translated, work)) => (work.await, Some(translated)),
    }
}

impl Translated {
    /// Notes in a question's record what the translation took.
    pub(super) fn count(self, work: &mut Work) {
        work.reserved_usd = 0.0;
        work.record.usage.add(&self.usage);
        work.detail.translation = self.reply;
    }
}

/// Prepares a translation, where one is wanted and can be paid; it is made as it is waited for.
async fn begin<'a>(app: &'a App, work: &mut Work) -> Option<Translating<'a>> {
    let question = work.question();
    let (own, other, language) =
        if extractive::is_japanese(question) { ("ja", "en", "English") } else { ("en", "ja", "Japanese") };
    if work.record.mode != Mode::Model || !is_wanted(app, work.record.collection.as_deref(), own, other).await {
        return None;
    }
    let models = work.record.settings.analysis_models.clone();
    let key = [prompt::version(prompt::TRANSLATE).as_str(), other, &models.join(","), question].join("\n");
    let call = Call {
        purpose: Purpose::Translation,
        models,
        messages: prompt::translate(question, language),
        max_tokens: REPLY_TOKENS,
        temperature: 0.0,
        json: Some(REPLY),
        deadline: work.begun + (work.deadline - work.begun).mul_f64(SHARE).min(LONGEST),
        flow: work.record.id.0,
        hedge: None,
        gate: work.calls_wait.clone(),
    };
    let cost = app.llm.estimate_cost_usd(&call);
    if !work.can_pay(cost) {
        return None;
    }
    work.reserved_usd = cost;
    Some(Translating(Box::pin(async move {
        if let Some(known) = app.translations.get(&key) {
            return Translated { question: Some(known), ..Translated::default() };
        }
        match app.llm.complete(call).await {
            Ok(completion) => {
                let question = question_in(&completion.text);
                if let Some(question) = &question {
                    app.translations.keep(key, question.clone());
                }
                Translated { question, usage: completion.spent.usage, reply: Some(completion.text) }
            }
            Err(failed) => {
                tracing::info!(code = failed.error.code().as_str(), "question searched for in its own language only");
                Translated { usage: failed.spent.usage, reply: failed.replies.into_iter().last(), question: None }
            }
        }
    })))
}

/// Whether a question in one language is to be looked for in the other too. Unless it is told to, the server pays for
/// that, and lets questions wait for it, only where words alone would find nothing.
async fn is_wanted(app: &App, collection: Option<&str>, own: &str, other: &str) -> bool {
    // A store that cannot be read is the search's to report.
    let has = async |language| app.store.has_language(collection, language).await.unwrap_or(false);
    match app.config.translate {
        Translate::Auto => app.config.llm.embedding_model.is_none() && !has(own).await && has(other).await,
        Translate::On => has(other).await,
        Translate::Off => false,
    }
}

/// One ranking of two, of a question and its translation.
fn joined(asked: Vec<Offered>, translated: Vec<Offered>) -> Vec<Offered> {
    let stretched = |offered: Vec<Offered>| {
        let range = Stretch::over(offered.iter().map(|(hit, _)| hit.score));
        offered.into_iter().map(move |(mut hit, document)| {
            hit.score = range.of(hit.score);
            (hit, document)
        })
    };
    let mut ranked: Vec<Offered> = Vec::new();
    let mut places: HashMap<DocumentId, usize> = HashMap::new();
    for one in stretched(asked).chain(stretched(translated)) {
        match places.get(&one.1.id).and_then(|place| ranked.get_mut(*place)) {
            Some(known) if known.0.score >= one.0.score => {}
            Some(known) => *known = one,
            None => {
                places.insert(one.1.id, ranked.len());
                ranked.push(one);
            }
        }
    }
    // Stable: of equals, what was asked for comes first.
    ranked.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
    ranked
}
