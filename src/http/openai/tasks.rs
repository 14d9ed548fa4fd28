//! Chat frontends' own chores: a title for the conversation, tags, follow-up questions. They are told from questions by
//! the words of the frontends' prompt templates, go to the small model as they are, and never reach the documents.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::request::ChatBody;
use crate::app::App;
use crate::error::Problem;
use crate::http::error::call_problem;
use crate::llm::{Call, Purpose};
use crate::model::Usage;

/// Tokens of a reply; titles and tags are short.
const REPLY_TOKENS: u32 = 500;

/// Nobody waits long for a title.
const PATIENCE: Duration = Duration::from_secs(20);

/// Characters of a title that is made without a model.
const TITLE_CHARS: usize = 40;

/// What a frontend wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Title,
    Tags,
    FollowUps,
    Queries,
    ImagePrompt,
    Completion,
    Emoji,
}

/// Words of the templates, all of which must stand in a message for it to be the task; in lower case.
const TEMPLATES: &[(Task, &[&str])] = &[
    // Open WebUI's all begin with the same heading.
    (Task::Title, &["### task:", "title", "<chat_history>"]),
    (Task::Tags, &["### task:", "tags categorizing", "<chat_history>"]),
    (Task::FollowUps, &["### task:", "follow-up", "<chat_history>"]),
    (Task::FollowUps, &["### task:", "messages this user might naturally send next"]),
    (Task::Queries, &["### task:", "search queries", "<chat_history>"]),
    (Task::ImagePrompt, &["### task:", "prompt for", "image generation"]),
    (Task::Completion, &["### task:", "autocompletion system"]),
    (Task::Emoji, &["reflect the speaker's likely facial expression", "emoji"]),
    // LibreChat.
    (Task::Title, &["concise, 5-word-or-less title for the conversation"]),
    (Task::Title, &["analyze this conversation and provide", "concise title in the detected language"]),
    (Task::Title, &["extremely concise title for this conversation"]),
    // LobeChat, and those that took its words.
    (Task::Title, &["conversation summarizer", "generate a concise title"]),
    (Task::Title, &["summarize the user's conversation into a title"]),
    (Task::Title, &["你需要将用户的会话总结为", "标题"]),
];

/// What a finished chore gives.
pub(super) struct Done {
    pub(super) text: String,
    pub(super) usage: Usage,
}

/// The chore that a request is, if it is one. Templates stand in the instructions or in the only message of a user; a
/// conversation that merely speaks of titles is a question.
pub(super) fn recognise(body: &ChatBody) -> Option<Task> {
    let turns = body.messages.iter().filter(|message| message.role == "user").count();
    let candidates = body.messages.iter().filter(|message| message.role != "assistant");
    candidates.filter(|message| message.role != "user" || turns == 1).find_map(|message| task_of(&message.text()))
}

fn task_of(text: &str) -> Option<Task> {
    let text = text.to_lowercase();
    // Several templates mention titles; the first words of Open WebUI's say which task is meant.
    let head: String = text.strip_prefix("### task:").map_or(String::new(), |rest| rest.chars().take(200).collect());
    let fits = |words: &[&str]| match words {
        ["### task:", word, rest @ ..] => head.contains(word) && rest.iter().all(|word| text.contains(word)),
        words => words.iter().all(|word| text.contains(word)),
    };
    TEMPLATES.iter().find(|(_, words)| fits(words)).map(|(task, _)| *task)
}

/// Does a chore with the small model, or as well as it goes without one.
///
/// # Errors
/// Where the upstream fails.
pub(super) async fn perform(app: &App, task: Task, body: &ChatBody) -> Result<Done, Problem> {
    if !app.llm.is_configured() {
        return Ok(Done { text: without_model(task, body), usage: Usage::default() });
    }
    let asked = body.max_completion_tokens.or(body.max_tokens).unwrap_or(REPLY_TOKENS);
    let call = Call {
        purpose: Purpose::Generation,
        models: app.config.llm.analysis_models.clone(),
        messages: body.prompt(),
        max_tokens: asked.clamp(1, REPLY_TOKENS),
        temperature: 0.0,
        json: None,
        deadline: Instant::now() + PATIENCE,
        flow: Uuid::now_v7(),
        hedge: None,
        gate: None,
    };
    let completion = app.llm.complete(call).await.map_err(call_problem)?;
    Ok(Done { text: completion.text, usage: completion.spent.usage })
}

/// A reply in the form that the template asks for.
fn without_model(task: Task, body: &ChatBody) -> String {
    let wants_json = body.messages.iter().any(|message| message.text().contains("JSON format"));
    match task {
        Task::Title if wants_json => json!({"title": title(body)}).to_string(),
        Task::Title => title(body),
        Task::Tags => json!({"tags": ["General"]}).to_string(),
        Task::FollowUps => json!({"follow_ups": []}).to_string(),
        Task::Queries => json!({"queries": []}).to_string(),
        Task::ImagePrompt => json!({"prompt": title(body)}).to_string(),
        Task::Completion => json!({"text": ""}).to_string(),
        Task::Emoji => "💬".to_owned(),
    }
}

/// The beginning of what the user said first.
fn title(body: &ChatBody) -> String {
    let texts: Vec<String> = body.messages.iter().map(super::request::ChatMessage::text).collect();
    let said = texts.iter().rev().find_map(|text| {
        let history = text.split_once("<chat_history>").or_else(|| text.split_once("Conversation:"));
        let history = history.map_or(text.as_str(), |(_, history)| history);
        history.lines().find_map(|line| {
            let (who, said) = line.trim().split_once(':')?;
            who.eq_ignore_ascii_case("user").then(|| said.trim().to_owned())
        })
    });
    let said = said.filter(|said| !said.is_empty()).unwrap_or_else(|| "Documents".to_owned());
    let cut: String = said.chars().take(TITLE_CHARS).collect();
    if cut == said { cut } else { format!("{cut}…") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(messages: &serde_json::Value) -> ChatBody {
        serde_json::from_value(json!({"model": "dokkai", "messages": messages})).unwrap()
    }

    #[test]
    fn frontends_chores_are_told_from_questions() {
        let check = |role: &str, text: &str, expected: Option<Task>| {
            assert_eq!(recognise(&body(&json!([{"role": role, "content": text}]))), expected, "{text}");
        };
        let webui = |words: &str| {
            format!(
                "### Task:\n{words}\n### Output:\nJSON format\n### Chat History:\n<chat_history>\nUSER: hi\n</chat_history>"
            )
        };
        for (words, task) in [
            ("Generate a concise, 3-5 word title with an emoji summarizing the chat history.", Task::Title),
            ("Generate 1-3 broad tags categorizing the main themes of the chat history", Task::Tags),
            ("Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask", Task::FollowUps),
            ("Predict 3-5 useful messages this user might naturally send next to advance", Task::FollowUps),
            ("Generate a concise title summarizing the chat history.", Task::Title),
            ("Analyze the chat history to determine the necessity of generating search queries", Task::Queries),
            ("Generate a detailed prompt for am image generation task based on the given language", Task::ImagePrompt),
            ("You are an autocompletion system. Continue the text in `<text>`", Task::Completion),
        ] {
            check("user", &webui(words), Some(task));
        }
        check(
            "user",
            "Provide a concise, 5-word-or-less title for the conversation, using title case conventions.",
            Some(Task::Title),
        );
        check(
            "user",
            "Analyze this conversation and provide:\n1. The detected language\n2. A concise title in the detected language",
            Some(Task::Title),
        );
        check(
            "system",
            "You are a professional conversation summarizer. Generate a concise title that captures the essence",
            Some(Task::Title),
        );
        check("system", "你是一名擅长会话的助理，你需要将用户的会话总结为 10 个字以内的标题", Some(Task::Title));
        check("user", "What is the title of the report?", None);
        check(
            "user",
            "### Task:\nRespond to the user query using the provided context.\n<context>tags</context>",
            None,
        );
        check("user", "How are search queries analysed?", None);
    }

    #[test]
    fn a_conversation_that_quotes_a_template_is_a_question() {
        let template = "Provide a concise, 5-word-or-less title for the conversation";
        let messages = json!([
            {"role": "user", "content": template}, {"role": "assistant", "content": "x"},
            {"role": "user", "content": "Which frontend says so?"},
        ]);
        assert_eq!(recognise(&body(&messages)), None);
    }

    #[test]
    fn without_a_model_a_title_is_what_the_user_said_first() {
        let check = |text: &str, expected: &str| {
            assert_eq!(without_model(Task::Title, &body(&json!([{"role": "user", "content": text}]))), expected);
        };
        check("Conversation:\nUser: When is it due?\nAI: On Monday.", "When is it due?");
        check(
            "JSON format: {}\n<chat_history>\nUSER: 支払期限は\nASSISTANT: x\n</chat_history>",
            r#"{"title":"支払期限は"}"#,
        );
        check("no conversation at all", "Documents");
    }
}
