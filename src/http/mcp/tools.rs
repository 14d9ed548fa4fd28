//! The tools that a model may use. Each replies with a text for the model and the same as data for programs; what fails
//! is told to the model, with its stable code, so that it can do better.

use std::fmt::Write as _;
use std::sync::Arc;

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, ProgressNotificationParam, Tool, ToolAnnotations};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer::{self, Find, SearchMode};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::http::documents::without_text;
use crate::http::error;
use crate::http::events::{failure, without_record};
use crate::http::questions::AskBody;
use crate::http::search::bad_filter;
use crate::model::filter::Filter;
use crate::model::{DocumentId, Event, Mode, QuestionRecord};
use crate::text::one_line;

/// Characters of a document that come at once where nothing is said, and the most that may be asked for.
const LENGTH: usize = 8_000;
const MOST_LENGTH: usize = 50_000;

/// Documents that a search finds where nothing is said.
const LIMIT: usize = 10;

const SEARCH: &str = "search_documents";
const ASK: &str = "ask_documents";
const GET: &str = "get_document";

/// What `search_documents` takes.
#[derive(Deserialize, JsonSchema)]
struct SearchArguments {
    /// What to look for, in natural words; Japanese or English. No query syntax.
    query: String,
    /// Documents wanted, 1 to 100; 10 where it is left out.
    limit: Option<usize>,
    /// Only documents of this collection.
    collection: Option<String>,
    /// Only documents like this: conditions on `created_at` and `metadata.KEY`, each a value, a list of values or a
    /// range, such as {"metadata.lang": "ja", "metadata.year": {"gte": 2020}}.
    filter: Option<JsonObject>,
    /// `lexical`: by words alone; `hybrid`: by meaning too. The server's own choice where it is left out.
    mode: Option<SearchMode>,
}

/// What `get_document` takes. Positions count characters, as in the results of the other tools.
#[derive(Deserialize, JsonSchema)]
struct GetArguments {
    /// The document's id, as the other tools tell it.
    #[schemars(with = "String")]
    id: DocumentId,
    /// First character wanted; 0 where it is left out.
    #[serde(default)]
    start: usize,
    /// Characters wanted, 1 to 50000; 8000 where it is left out.
    length: Option<usize>,
}

/// All tools, as clients list them.
pub(super) fn all() -> Vec<Tool> {
    vec![
        tool::<SearchArguments>(
            SEARCH,
            "Search documents",
            "Find the documents that fit a query best, each with its best passage, its position in the text and the \
            document's id.",
        ),
        tool::<AskBody>(
            ASK,
            "Ask documents",
            "Answer a question from the documents: the best ones are read one by one, and the answer cites quotes that \
            were verified to stand in them. Takes seconds, and model calls of the server.",
        ),
        tool::<GetArguments>(
            GET,
            "Read a document",
            "Read a stretch of a document's extracted text, with its title and metadata. Long documents come in parts: \
            go on at next_start.",
        ),
    ]
}

fn tool<Arguments: JsonSchema + 'static>(name: &'static str, title: &str, description: &'static str) -> Tool {
    let arguments = rmcp::handler::server::tool::schema_for_type::<Arguments>();
    // Asking keeps a record, and changes no document.
    let hints = ToolAnnotations::with_title(title).read_only(true).open_world(false);
    Tool::new(name, description, arguments).with_title(title).with_annotations(hints)
}

/// Uses a tool.
///
/// # Errors
/// Where there is no such tool. A tool that fails has a result, which says so.
pub(super) async fn call(
    app: &Arc<App>,
    name: &str,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    let done = match name {
        SEARCH => search(app, arguments).await,
        ASK => ask(app, arguments, context).await,
        GET => get(app, arguments).await,
        _ => return Err(ErrorData::invalid_params(format!("there is no tool {name}; see tools/list"), None)),
    };
    Ok(done.unwrap_or_else(|problem| failed(&problem)))
}

async fn search(app: &App, arguments: JsonObject) -> Result<CallToolResult, Problem> {
    let SearchArguments { query, limit, collection, filter, mode } = read(arguments)?;
    let filter = filter.map(Filter::try_from).transpose().map_err(bad_filter)?;
    let collection = collection.filter(|name| !name.is_empty());
    let found = answer::find(app, Find { query, limit: limit.unwrap_or(LIMIT), collection, filter, mode }).await;
    let found =
        found.map_err(|problem| if problem.param.as_deref() == Some("q") { problem.at("query") } else { problem })?;
    let mut text = String::new();
    for (hit, rank) in found.hits.iter().zip(1..) {
        let passage = &hit.passage;
        let page = passage.page.map(|page| format!(", page {page}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{rank}. {}", one_line(&hit.title));
        let _ = writeln!(text, "document {}, characters {}-{}{page}", hit.document_id, passage.start, passage.end);
        let _ = writeln!(text, "{}\n", passage.text.trim());
    }
    if found.hits.is_empty() {
        text.push_str("nothing was found; try other words, or leave out collection and filter");
    }
    Ok(done(text, json!(found)))
}

async fn get(app: &App, arguments: JsonObject) -> Result<CallToolResult, Problem> {
    let GetArguments { id, start, length } = read(arguments)?;
    let length = length.unwrap_or(LENGTH);
    if !(1..=MOST_LENGTH).contains(&length) {
        return Err(Problem::parameter("length", format!("length must be from 1 to {MOST_LENGTH}")));
    }
    let document = app.store.document(id).await?;
    let text = app.store.text(id).await?.ok_or_else(without_text)?;
    let characters = text.chars().count();
    if start > characters {
        return Err(Problem::parameter(
            "start",
            format!("start must not be beyond the text's {characters} characters"),
        ));
    }
    let part: String = text.chars().skip(start).take(length).collect();
    let end = start.saturating_add(length).min(characters);
    let next_start = (end < characters).then_some(end);
    let mut shown = format!("{}\ncharacters {start}-{end} of {characters}\n\n{part}", one_line(&document.title));
    if let Some(next) = next_start {
        let _ = write!(shown, "\n\n(goes on; ask again with start {next})");
    }
    let data = json!({
        "document": document,
        "text": part,
        "start": start,
        "end": end,
        "characters": characters,
        "next_start": next_start,
    });
    Ok(done(shown, data))
}

async fn ask(
    app: &Arc<App>,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, Problem> {
    let (id, log) = answer::ask(app, read::<AskBody>(arguments)?.ask()?).await?;
    let mut progress = Progress { context, done: 0, all: 0 };
    let mut events = Box::pin(log.follow(None));
    loop {
        let next = tokio::select! {
            next = futures_util::StreamExt::next(&mut events) => next,
            () = context.ct.cancelled() => {
                let message = format!("nobody waits any more; the answer will be kept as question {id}");
                return Err(Problem::new(Code::Interrupted, message));
            }
        };
        match next {
            Some((_, Event::Done(record))) => return answered(&record),
            Some((_, Event::Error(problem))) => return Err(problem),
            Some((_, event)) => progress.tell(&event).await,
            None => return Err(without_record()),
        }
    }
}

/// Tells a client that wants to know how far a question is.
struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    done: u32,
    /// Documents to read.
    all: usize,
}

impl Progress<'_> {
    async fn tell(&mut self, event: &Event) {
        let message = match event {
            Event::Retrieval(documents) => {
                self.all = documents.len();
                format!("reading {} documents", documents.len())
            }
            Event::Analysis(analysis) => {
                self.done += 1;
                format!("{}: {}", one_line(&analysis.title), analysis.status)
            }
            Event::Accepted(_) | Event::Delta(_) | Event::Done(_) | Event::Error(_) => return,
        };
        let Some(token) = self.context.meta.get_progress_token() else { return };
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let told = ProgressNotificationParam::new(token, f64::from(self.done))
            .with_total(f64::from(all))
            .with_message(message);
        // Nobody may be listening any more; the work goes on.
        let _ = self.context.peer.notify_progress(told).await;
    }
}

/// The answer with its sources, for the model; the record without its longest parts, for programs.
fn answered(record: &QuestionRecord) -> Result<CallToolResult, Problem> {
    if let Some(problem) = failure(record) {
        return Err(problem);
    }
    let mut text = record.answer.clone();
    if !record.citations.is_empty() {
        text.push_str("\n\nSources:\n");
    }
    for citation in &record.citations {
        let page = citation.page.map(|page| format!(", page {page}")).unwrap_or_default();
        let (start, end) = (citation.start, citation.end);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "[{}] {} (document {}, characters {start}-{end}{page}): \"{}\"",
            citation.marker,
            one_line(&citation.title),
            citation.document_id,
            one_line(&citation.quote)
        );
    }
    for analysis in &record.analyses {
        if analysis.is_missing() {
            let _ = write!(text, "\nNot read: {} ({})", one_line(&analysis.title), analysis.status);
        }
    }
    if record.mode == Mode::Extractive {
        text.push_str("\n\nThe answer is made of the documents' own sentences, without a model.");
    }
    let analyses: Vec<Value> = record
        .analyses
        .iter()
        .map(|analysis| {
            json!({
                "document_id": analysis.document_id,
                "title": analysis.title,
                "status": analysis.status,
                "relevance_score": analysis.relevance_score,
                "summary": analysis.summary,
                "key_points": analysis.key_points,
                "error": analysis.error,
            })
        })
        .collect();
    let data = json!({
        "id": record.id,
        "question": record.question,
        "status": record.status,
        "mode": record.mode,
        "answer": record.answer,
        "citations": record.citations,
        "uncited_sentences": record.uncited_sentences,
        "analyses": analyses,
        "coverage": record.coverage,
        "usage": record.usage,
        "conversation_id": record.conversation_id,
    });
    Ok(done(text, data))
}

fn read<Arguments: DeserializeOwned>(arguments: JsonObject) -> Result<Arguments, Problem> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the arguments cannot be read: {error}")))
}

fn done(text: String, data: Value) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(data);
    result
}

fn failed(problem: &Problem) -> CallToolResult {
    let mut result =
        CallToolResult::error(vec![ContentBlock::text(format!("{} ({})", problem.message, problem.code.as_str()))]);
    result.structured_content = Some(error::body(problem));
    result
}
