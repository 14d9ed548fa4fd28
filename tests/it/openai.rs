//! dokkai as an OpenAI-compatible model: the shapes that chat frontends rely on.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::Reply;
use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models;

const QUESTION: &str = "Within how many days can goods be returned?";

async fn shop(flags: &[&str]) -> TestApp {
    let app = TestApp::start_with(flags).await;
    app.add("Returns", "Goods can be returned within 30 days. The customer pays for the parcel.").await;
    app
}

fn asked(question: &Value, more: &Value) -> Value {
    let mut body = json!({"model": "dokkai", "messages": [{"role": "user", "content": question}], "temperature": 0.2});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The `data:` lines of a stream, whose end is checked.
fn chunks(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut lines: Vec<&str> = reply.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(lines.pop(), Some("[DONE]"));
    lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn content(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn models_are_dokkai_and_its_collections() {
    let app = shop(&[]).await;
    app.post("/api/documents?wait=true", &json!({"text": "Green tea.", "collection": "tea"})).await;
    let reply = app.get("/v1/models").await.json();
    let ids: Vec<&str> = reply["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((&reply["object"], ids), (&json!("list"), vec!["dokkai", "dokkai/default", "dokkai/tea"]));
}

#[tokio::test]
async fn a_whole_completion_cites_with_links_and_annotations() {
    let app = shop(&[]).await;
    let parts = json!([{"type": "text", "text": QUESTION}]);
    let reply = app.post("/v1/chat/completions", &asked(&parts, &json!({"reasoning_effort": "low"}))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    assert_eq!((&reply["object"], &reply["choices"][0]["finish_reason"]), (&json!("chat.completion"), &json!("stop")));
    let message = &reply["choices"][0]["message"];
    let text = message["content"].as_str().unwrap();
    let citation = &message["annotations"][0]["url_citation"];
    let url = citation["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/#/documents?doc=", app.url)), "{url}");
    assert!(url.ends_with("&at=0-37"), "{url}");
    let (start, end) = (citation["start_index"].as_u64().unwrap(), citation["end_index"].as_u64().unwrap());
    let mark: String = text.chars().skip(start.try_into().unwrap()).take((end - start).try_into().unwrap()).collect();
    assert_eq!((mark.as_str(), &citation["title"]), ("[1]", &json!("Returns")));
    assert!(text.contains(&format!("**Sources**\n\n- 1: [Returns]({url})\n")), "{text}");
    assert!(text.contains(&format!("\n[1]: {url}\n")), "{text}");
    assert!(message["reasoning_content"].as_str().unwrap().contains("Returns"), "{message}");
    assert_eq!(reply["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}));
}

#[tokio::test]
async fn a_stream_says_what_the_whole_completion_says() {
    let llm = FakeLlm::start().await;
    let app = shop(&["--llm-base-url", &llm.url()]).await;
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let chunks = chunks(&app.post("/v1/chat/completions", &asked(&json!(QUESTION), &more)).await);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["object"] == "chat.completion.chunk"));
    let [.., sources, stop, usage] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(sources["choices"][0]["delta"]["annotations"][0]["type"], "url_citation");
    assert_eq!(stop["choices"][0]["finish_reason"], "stop");
    let record = app.get("/api/questions").await.json()["questions"][0].clone();
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &record["usage"]["total_tokens"]));
    assert!(record["usage"]["upstream_calls"].as_u64().unwrap() >= 2, "{record}");
    let whole = app.post("/v1/chat/completions", &asked(&json!(QUESTION), &json!({}))).await.json();
    assert_eq!(content(&chunks), whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert!(!chunks.iter().any(|chunk| chunk.get("event").is_some()), "nobody asked for events");
}

#[tokio::test]
async fn frontends_events_come_where_they_are_asked_for() {
    let app = shop(&[]).await;
    let more = json!({"stream": true, "model": "dokkai/default:events"});
    let chunks = chunks(&app.post("/v1/chat/completions", &asked(&json!(QUESTION), &more)).await);
    let events: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk.get("event")).collect();
    let said: Vec<&str> = events.iter().filter_map(|event| event["data"]["description"].as_str()).collect();
    assert_eq!(said, ["searching", "analysing 0/1", "analysing 1/1", "done"]);
    let source = events.iter().find(|event| event["type"] == "source").unwrap();
    assert_eq!(source["data"]["document"], json!(["Goods can be returned within 30 days."]));
    assert_eq!(source["data"]["source"]["name"], "Returns");
}

#[tokio::test]
async fn nothing_relevant_is_an_ordinary_answer() {
    let app = shop(&[]).await;
    let reply =
        app.post("/v1/chat/completions", &asked(&json!("Who won the football match?"), &json!({}))).await.json();
    let message = &reply["choices"][0]["message"];
    assert!(message["content"].as_str().unwrap().contains("None of the stored"), "{message}");
    assert_eq!(message["annotations"], json!([]));
}

#[tokio::test]
async fn titles_and_tags_go_to_the_small_model_and_leave_no_question() {
    let llm = FakeLlm::start().await;
    llm.when().prompt("concise title").always(Answer::text(r#"{"title": "Returns"}"#));
    let app = shop(&["--llm-base-url", &llm.url()]).await;
    let template = "### Task:\nGenerate a concise title summarizing the chat history.\n### Output:\nJSON format: {}\n\
        ### Chat History:\n<chat_history>\nUSER: Can I return it?\n</chat_history>";
    let reply = app.post("/v1/chat/completions", &asked(&json!(template), &json!({}))).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], r#"{"title": "Returns"}"#);
    assert!(reply["usage"]["total_tokens"].as_u64().unwrap() > 0);
    let streamed = chunks(&app.post("/v1/chat/completions", &asked(&json!(template), &json!({"stream": true}))).await);
    assert_eq!(content(&streamed), r#"{"title": "Returns"}"#);
    let models: Vec<Value> = llm.bodies().iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, ["deepseek-v3.2", "deepseek-v3.2"]);
    assert_eq!(app.get("/api/questions").await.json()["total"], 0);

    let without = shop(&[]).await;
    let reply = without.post("/v1/chat/completions", &asked(&json!(template), &json!({}))).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], r#"{"title":"Can I return it?"}"#);
}

#[tokio::test]
async fn a_key_that_may_only_read_may_ask() {
    let mut app = TestApp::start_with(&["--api-keys", "b:reader:read"]).await;
    assert_eq!(app.get("/v1/models").await.code(), "unauthorized");
    app.use_key("reader");
    let reply = app.post("/v1/chat/completions", &asked(&json!(QUESTION), &json!({}))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = app.post("/v1/responses", &json!({"model": "dokkai", "input": QUESTION})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_before_the_stream() {
    let app = shop(&[]).await;
    let check = async |body: Value, code: &str, param: Value| {
        let reply = app.post("/v1/chat/completions", &body).await;
        assert_eq!((reply.code().as_str(), &reply.json()["error"]["param"]), (code, &param), "{body}");
    };
    let stream = json!({"stream": true});
    check(asked(&json!(""), &stream), "invalid_parameter", json!("messages")).await;
    check(asked(&json!("x"), &json!({"model": "gpt-4.1"})), "invalid_parameter", json!("model")).await;
    check(asked(&json!("x"), &json!({"model": "dokkai/nowhere"})), "invalid_parameter", json!("model")).await;
    check(json!({"model": "dokkai"}), "invalid_request", Value::Null).await;
}

#[tokio::test]
async fn texts_become_vectors_where_there_is_a_model() {
    let llm = FakeLlm::start().await;
    let app = shop(&["--llm-base-url", &llm.url(), "--embedding-model", "e5"]).await;
    let reply = app.post("/v1/embeddings", &json!({"input": ["tea", "coffee"], "model": "e5"})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    let places: Vec<&Value> = reply["data"].as_array().unwrap().iter().map(|one| &one["index"]).collect();
    assert_eq!((&reply["object"], &reply["model"], places), (&json!("list"), &json!("e5"), vec![&json!(0), &json!(1)]));
    assert!(reply["usage"]["prompt_tokens"].as_u64().unwrap() > 0, "{reply}");
    let numbers: Vec<f64> = serde_json::from_value(reply["data"][0]["embedding"].clone()).unwrap();
    // The OpenAI package asks for bytes.
    let written = json!({"input": "tea", "encoding_format": "base64"});
    let written = app.post("/v1/embeddings", &written).await.json()["data"][0]["embedding"].clone();
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, written.as_str().unwrap()).unwrap();
    assert_eq!(bytes.len(), numbers.len() * 4);
    assert_eq!(f64::from(f32::from_le_bytes(bytes[..4].try_into().unwrap())), numbers[0]);

    let check = async |app: &TestApp, body: Value, code: &str| {
        let reply = app.post("/v1/embeddings", &body).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, code), "{body}");
    };
    check(&app, json!({"input": "tea", "model": "other"}), "invalid_parameter").await;
    check(&app, json!({"input": []}), "invalid_parameter").await;
    check(&app, json!({"input": [" "]}), "invalid_parameter").await;
    check(&app, json!({"input": [[1, 2]]}), "invalid_request").await;
    check(&shop(&[]).await, json!({"input": "tea"}), "no_embedding_model").await;
}

/// The store fails under a running question: inside the stream the error object, then its end.
#[tokio::test]
async fn a_failure_inside_a_stream_is_an_error_object() {
    let app = shop(&[]).await;
    app.break_passages().await;
    let streamed = chunks(&app.post("/v1/chat/completions", &asked(&json!(QUESTION), &json!({"stream": true}))).await);
    let error = &streamed.last().unwrap()["error"];
    assert_eq!((&error["code"], &error["type"]), (&json!("store_unavailable"), &json!("server_error")), "{streamed:?}");
    assert!(!streamed.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "stop"), "{streamed:?}");
    let whole = app.post("/v1/chat/completions", &asked(&json!(QUESTION), &json!({}))).await;
    assert_eq!((whole.status.as_u16(), whole.code().as_str()), (503, "store_unavailable"));
}

/// Frontends count the sources that they are given.
#[tokio::test]
async fn marks_are_numbered_in_the_order_of_their_use() {
    let llm = FakeLlm::start().await;
    let quotes = ["Goods can be returned within 30 days.", "The customer pays for the parcel."];
    llm.when().model(models::ANALYSIS).always(models::analysis(0.9, &quotes));
    llm.when().model(models::SYNTHESIS).always(Answer::tokens(&["The customer pays [2", "]. 30 days [1][2]."]));
    let app = shop(&["--llm-base-url", &llm.url()]).await;
    let streamed = chunks(&app.post("/v1/chat/completions", &asked(&json!(QUESTION), &json!({"stream": true}))).await);
    let text = content(&streamed);
    assert!(text.starts_with("The customer pays [1]. 30 days [2] [1].\n\n**Sources**\n\n- 1: [Returns]("), "{text}");
    let annotated = streamed.iter().find_map(|chunk| chunk["choices"][0]["delta"]["annotations"].as_array()).unwrap();
    let places: Vec<&str> = annotated
        .iter()
        .map(|one| one["url_citation"]["url"].as_str().unwrap().rsplit("at=").next().unwrap())
        .collect();
    assert_eq!(places, ["38-71", "0-37", "38-71"]);
    let whole = app.post("/v1/chat/completions", &asked(&json!(QUESTION), &json!({}))).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], json!(text));
}
