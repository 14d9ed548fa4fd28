//! `POST /v1/responses`: the shapes that OpenAI's newer clients rely on.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::fake_llm::{Answer, FakeLlm};

const QUESTION: &str = "Within how many days can goods be returned?";

async fn shop(flags: &[&str]) -> TestApp {
    let app = TestApp::start_with(flags).await;
    app.add("Returns", "Goods can be returned within 30 days. The customer pays for the parcel.").await;
    app
}

/// The events of a stream, each with the name that it goes by.
fn events(body: &str) -> Vec<Value> {
    let blocks = body.split("\n\n").filter(|block| block.starts_with("event: "));
    let event = |block: &str| {
        let (name, data) = block.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    blocks.map(event).collect()
}

#[tokio::test]
async fn a_whole_response_cites_its_sources() {
    let app = shop(&[]).await;
    let input = json!([{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}, {"type": "reasoning"}]);
    let reply = app.post("/v1/responses", &json!({"model": "dokkai", "input": input, "store": false})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    assert_eq!((&reply["object"], &reply["status"]), (&json!("response"), &json!("completed")));
    let content = &reply["output"][0]["content"][0];
    let (text, citation) = (content["text"].as_str().unwrap(), &content["annotations"][0]);
    let at = |name: &str| usize::try_from(citation[name].as_u64().unwrap()).unwrap();
    let mark: String = text.chars().skip(at("start_index")).take(at("end_index") - at("start_index")).collect();
    assert_eq!(
        (mark.as_str(), &citation["type"], &citation["title"]),
        ("[1]", &json!("url_citation"), &json!("Returns"))
    );
    assert!(text.contains("30 days") && text.contains(citation["url"].as_str().unwrap()), "{text}");
    let record = app.get("/api/questions").await.json()["questions"][0].clone();
    assert_eq!(reply["id"].as_str().unwrap(), format!("resp_{}", record["id"].as_str().unwrap().replace('-', "")));
    assert_eq!(reply["usage"]["total_tokens"], record["usage"]["total_tokens"]);
}

#[tokio::test]
async fn a_stream_says_what_the_whole_response_says() {
    let app = shop(&[]).await;
    let asked = json!({"model": "dokkai/default", "input": QUESTION});
    let whole = app.post("/v1/responses", &asked).await.json();
    let reply = app.post("/v1/responses", &json!({"model": "dokkai/default", "input": QUESTION, "stream": true})).await;
    let events = events(&reply.body);
    for (event, number) in events.iter().zip(0_u64..) {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let first =
        ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"];
    assert_eq!(kinds[..4], first);
    let last =
        ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"];
    assert_eq!(kinds[kinds.len() - 4..], last);
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, whole["output"][0]["content"][0]["text"].as_str().unwrap());
    let ended = &events.last().unwrap()["response"];
    assert_eq!(ended["output"][0]["content"], whole["output"][0]["content"]);
    assert_eq!(ended["id"], events[0]["response"]["id"]);
}

#[tokio::test]
async fn a_response_follows_the_one_that_it_names() {
    let llm = FakeLlm::start().await;
    llm.when().prompt("And who pays").then([Answer::text("Who pays for returned goods?")]);
    let app = shop(&["--llm-base-url", &llm.url()]).await;
    let first = app.post("/v1/responses", &json!({"model": "dokkai", "input": QUESTION})).await.json();
    let next = json!({"model": "dokkai", "input": "And who pays?", "previous_response_id": first["id"]});
    let second = app.post("/v1/responses", &next).await.json();
    assert_eq!(second["previous_response_id"], first["id"]);
    let record = app.get("/api/questions").await.json()["questions"][0].clone();
    assert_eq!(record["standalone_question"], "Who pays for returned goods?", "{record}");
    let unknown = json!({"model": "dokkai", "input": "And who pays?", "previous_response_id": "resp_1"});
    let reply = app.post("/v1/responses", &unknown).await;
    assert_eq!((reply.status.as_u16(), reply.json()["error"]["param"].as_str()), (400, Some("previous_response_id")));
}

#[tokio::test]
async fn a_failure_is_an_error_before_the_stream_and_an_event_within() {
    let app = shop(&[]).await;
    let reply = app.post("/v1/responses", &json!({"model": "gpt-4.1", "input": QUESTION})).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "invalid_parameter"));
    app.break_passages().await;
    let reply = app.post("/v1/responses", &json!({"model": "dokkai", "input": QUESTION, "stream": true})).await;
    let last = events(&reply.body).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(last["response"]["error"]["code"], "store_unavailable");
}
