//! A follow-up → a question that stands alone. "And in 2023?" finds nothing by itself; the cheap model says what it
//! asks, from the conversation so far.

use std::time::Duration;

use serde_json::Value;

use super::{Work, prompt};
use crate::app::App;
use crate::error::Problem;
use crate::llm::{Call, Kind, Purpose, Shape, json};
use crate::model::{Mode, QuestionRecord, QuestionStatus};
use crate::store::{Page, QuestionFilter};
use crate::tokens::estimate_tokens;

/// Earlier questions that are looked at: replays and failed ones among them are no turns.
const LOOKED_AT: u32 = 12;

/// Turns that are told, and what they may take of a prompt, in tokens.
const MAX_TURNS: usize = 6;
const HISTORY_TOKENS: u32 = 1_500;

/// The beginning of an earlier answer that is shown, in characters.
const ANSWER_CHARS: usize = 600;

/// The longest standalone question, in characters.
const MAX_QUESTION_CHARS: usize = 1_000;

/// Tokens of the reply.
const REPLY_TOKENS: u32 = 300;

/// What the reply is to be.
const REPLY: Shape = Shape { name: "standalone_question", fields: &[("question", Kind::Text)] };

/// The part of a question's time that the rewriting may take, and its bound.
const SHARE: f64 = 0.2;
const LONGEST: Duration = Duration::from_secs(10);

/// An earlier question of the conversation, as it was understood, and the beginning of its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// Reads the conversation so far and lets the model say what the question asks. The first question of a conversation
/// is asked as it is, and so is one whose rewriting fails: a worse search is better than none.
///
/// # Errors
/// Where the store cannot be read.
pub(super) async fn understand(app: &App, work: &mut Work) -> Result<(), Problem> {
    if let Some(conversation_id) = work.record.conversation_id.clone().filter(|_| work.history.is_empty()) {
        let filter = QuestionFilter { conversation_id: Some(conversation_id), ..QuestionFilter::default() };
        // A replay comes later than what was said before its question.
        let page = Page { limit: LOOKED_AT, before: work.record.replay_of.or(Some(work.record.id)) };
        work.history = bounded(app.store.questions(filter, page).await?.items);
    }
    // A replay asks what its question was taken to ask, be it word for word.
    let is_understood = work.record.standalone_question.is_some() || work.record.replay_of.is_some();
    if work.history.is_empty() || work.record.mode != Mode::Model || is_understood {
        return Ok(());
    }
    let time = (work.deadline - work.begun).mul_f64(SHARE).min(LONGEST);
    let call = Call {
        purpose: Purpose::Rewrite,
        models: work.record.settings.analysis_models.clone(),
        messages: prompt::rewrite(&work.record.question, &work.history),
        max_tokens: REPLY_TOKENS,
        temperature: 0.0,
        json: Some(REPLY),
        deadline: work.begun + time,
        flow: work.record.id.0,
        hedge: None,
        gate: work.calls_wait.clone(),
    };
    if !work.can_pay(app.llm.estimate_cost_usd(&call)) {
        return Ok(());
    }
    match app.llm.complete(call).await {
        Ok(completion) => {
            work.record.usage.add(&completion.spent.usage);
            work.record.standalone_question =
                question_in(&completion.text).filter(|question| *question != work.record.question);
            work.detail.rewrite = Some(completion.text);
        }
        Err(failed) => {
            tracing::info!(question = %work.record.id, code = failed.error.code().as_str(), "follow-up asked as it is");
            work.record.usage.add(&failed.spent.usage);
        }
    }
    Ok(())
}

/// The latest turns that fit, oldest first; `records` come newest first.
fn bounded(records: Vec<QuestionRecord>) -> Vec<Turn> {
    let told = |record: &QuestionRecord| {
        !matches!(record.status, QuestionStatus::Running | QuestionStatus::Failed) && record.replay_of.is_none()
    };
    within_bounds(
        records.into_iter().filter(told).map(|record| Turn {
            question: record.standalone_question.unwrap_or(record.question),
            answer: record.answer,
        }),
    )
}

/// The latest turns that fit, oldest first; `newest_first` is how they come.
pub(super) fn within_bounds(newest_first: impl Iterator<Item = Turn>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut left = HISTORY_TOKENS;
    for turn in newest_first.take(MAX_TURNS) {
        let turn = Turn { answer: turn.answer.chars().take(ANSWER_CHARS).collect(), ..turn };
        let Some(rest) = left.checked_sub(estimate_tokens(&turn.question) + estimate_tokens(&turn.answer)) else {
            break;
        };
        left = rest;
        turns.push(turn);
    }
    turns.reverse();
    turns
}

/// The question in a reply: the field of its JSON, or the one line that it is.
pub(super) fn question_in(reply: &str) -> Option<String> {
    let said = match json::parse(reply) {
        Ok(Value::Object(fields)) => {
            let field = ["question", "standalone_question"].iter().find_map(|name| fields.get(*name)?.as_str());
            field.map(str::to_owned)?
        }
        Ok(Value::String(text)) => text,
        Ok(_) => return None,
        Err(_) => reply.trim().to_owned(),
    };
    let question = said.trim().to_owned();
    let fits = !question.is_empty() && !question.contains('\n') && question.chars().count() <= MAX_QUESTION_CHARS;
    fits.then_some(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_out_of_every_reply_that_holds_one() {
        let cases = [
            (r#"{"question": "水道料金はいつから変わりますか"}"#, Some("水道料金はいつから変わりますか")),
            ("```json\n{\"standalone_question\": \" a? \"}\n```", Some("a?")),
            ("How much was it in 2023?", Some("How much was it in 2023?")),
            ("Sure!\nHere it is: x", None),
            (r#"{"answer": "42"}"#, None),
            (r#"{"question": ""}"#, None),
            ("", None),
        ];
        for (reply, expected) in cases {
            assert_eq!(question_in(reply).as_deref(), expected, "{reply}");
        }
    }
}
