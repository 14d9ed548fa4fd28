//! Agents: the Model Context Protocol over HTTP and stdio, message by message.

use std::io::Write as _;
use std::process::Stdio;

use reqwest::Method;
use reqwest::header::{ACCEPT, HOST, ORIGIN};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::Reply;
use crate::support::fake_llm::FakeLlm;
use crate::support::process::{command, run, stdout};

const QUESTION: &str = "Within how many days can goods be returned?";

async fn shop(flags: &[&str]) -> (TestApp, String) {
    let app = TestApp::start_with(flags).await;
    let id = app.add("Returns", "Goods can be returned within 30 days. The customer pays for the parcel.").await;
    (app, id)
}

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

fn initialize() -> Value {
    let client = json!({"name": "test", "version": "1"});
    message("initialize", &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}))
}

fn post(app: &TestApp, message: &Value) -> reqwest::RequestBuilder {
    let request = app.request(Method::POST, "/mcp").header(ACCEPT, "application/json, text/event-stream");
    request.header("mcp-protocol-version", "2025-06-18").json(message)
}

/// Everything that the server says to a message, the reply last.
fn said(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    if reply.headers["content-type"] == "application/json" {
        return vec![reply.json()];
    }
    let data = reply.body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
}

async fn result(app: &TestApp, method: &str, params: Value) -> Value {
    let mut said = said(&app.send(post(app, &message(method, &params))).await);
    let reply = said.pop().unwrap();
    assert_eq!(reply["id"], 7, "{reply}");
    assert!(reply.get("error").is_none(), "{reply}");
    reply["result"].clone()
}

async fn call(app: &TestApp, tool: &str, arguments: Value) -> Value {
    result(app, "tools/call", json!({"name": tool, "arguments": arguments})).await
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_client_learns_what_there_is() {
    let (app, _) = shop(&[]).await;
    let reply = said(&app.send(post(&app, &initialize())).await).pop().unwrap();
    let server = &reply["result"];
    assert_eq!((&server["protocolVersion"], &server["serverInfo"]["name"]), (&json!("2025-06-18"), &json!("dokkai")));
    assert!(server["instructions"].as_str().unwrap().contains("ask_documents"), "{server}");
    assert!(server["capabilities"]["tools"].is_object() && server["capabilities"]["resources"].is_object());
    let started = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(app.send(post(&app, &started)).await.status, 202);

    let tools = result(&app, "tools/list", json!({})).await;
    let named: Vec<&str> =
        tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["search_documents", "ask_documents", "get_document"]);
    for (tool, required) in tools["tools"].as_array().unwrap().iter().zip(["query", "question", "id"]) {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(
            (&tool["inputSchema"]["type"], &tool["inputSchema"]["required"]),
            (&json!("object"), &json!([required]))
        );
        assert!(tool["inputSchema"]["properties"][required]["type"] == "string", "{tool}");
    }
}

#[tokio::test]
async fn a_model_searches_and_reads_on() {
    let (app, id) = shop(&[]).await;
    let found = call(&app, "search_documents", json!({"query": "parcel", "collection": "default"})).await;
    assert_eq!(found["structuredContent"]["hits"][0]["document_id"], json!(id));
    assert!(text(&found).contains(&format!("1. Returns\ndocument {id}, characters 0-71\n")), "{found}");
    assert!(text(&call(&app, "search_documents", json!({"query": "zebra"})).await).contains("nothing was found"));

    let whole = call(&app, "get_document", json!({"id": id})).await;
    assert_eq!(
        (&whole["structuredContent"]["characters"], &whole["structuredContent"]["next_start"]),
        (&json!(71), &json!(null))
    );
    assert_eq!(whole["structuredContent"]["document"]["title"], "Returns");
    let part = call(&app, "get_document", json!({"id": id, "start": 6, "length": 3})).await;
    assert_eq!(
        (&part["structuredContent"]["text"], &part["structuredContent"]["next_start"]),
        (&json!("can"), &json!(9))
    );
    assert!(text(&part).ends_with("can\n\n(goes on; ask again with start 9)"), "{part}");
}

#[tokio::test]
async fn an_answer_comes_with_sources_and_on_request_with_progress() {
    let llm = FakeLlm::start().await;
    let (app, id) = shop(&["--llm-base-url", &llm.url()]).await;
    let arguments = json!({"question": QUESTION, "top_k": 3});
    let answered = call(&app, "ask_documents", arguments.clone()).await;
    let record = &answered["structuredContent"];
    assert_eq!((&record["status"], &record["citations"][0]["document_id"]), (&json!("complete"), &json!(id)));
    assert_eq!(record["citations"][0]["verified"], true);
    let source = format!("[1] Returns (document {id}, characters 0-37): \"Goods can be returned within 30 days.\"");
    assert!(text(&answered).contains(&source), "{answered}");
    assert_eq!(app.get(&format!("/api/questions/{}", record["id"].as_str().unwrap())).await.status, 200);

    let call = json!({"name": "ask_documents", "arguments": arguments, "_meta": {"progressToken": "t"}});
    let said = said(&app.send(post(&app, &message("tools/call", &call))).await);
    let told: Vec<&Value> = said.iter().filter(|one| one["method"] == "notifications/progress").collect();
    let told: Vec<(&Value, &Value, &str)> = told
        .iter()
        .map(|one| (&one["params"]["progress"], &one["params"]["total"], one["params"]["message"].as_str().unwrap()))
        .collect();
    let expected = [("reading 1 documents", 0.0), ("Returns: ok", 1.0)];
    assert_eq!(told.len(), expected.len(), "{said:?}");
    for ((progress, total, message), (words, done)) in told.into_iter().zip(expected) {
        assert_eq!((progress.as_f64(), total.as_f64(), message), (Some(done), Some(1.0), words));
    }
    assert_eq!(said.last().unwrap()["result"]["structuredContent"]["status"], "complete");
}

#[tokio::test]
async fn what_fails_is_told_to_the_model_with_its_code() {
    let (app, _) = shop(&[]).await;
    let unknown = "01900000-0000-7000-8000-000000000000";
    let cases = [
        ("search_documents", json!({"query": " "}), "invalid_parameter", json!("query")),
        ("search_documents", json!({"query": "x", "limit": 0}), "invalid_parameter", json!("limit")),
        ("search_documents", json!({"query": "x", "filter": {"size": 1}}), "invalid_parameter", json!("filter")),
        ("search_documents", json!({}), "invalid_request", Value::Null),
        ("ask_documents", json!({"question": "x", "top_k": 51}), "invalid_parameter", json!("top_k")),
        ("get_document", json!({"id": unknown}), "document_not_found", Value::Null),
        ("get_document", json!({"id": "x"}), "invalid_request", Value::Null),
        ("get_document", json!({"id": unknown, "length": 0}), "invalid_parameter", json!("length")),
    ];
    for (tool, arguments, code, param) in cases {
        let failed = call(&app, tool, arguments.clone()).await;
        let error = &failed["structuredContent"]["error"];
        assert_eq!(
            (&failed["isError"], &error["code"], &error["param"]),
            (&json!(true), &json!(code), &param),
            "{tool} {arguments}"
        );
        assert!(text(&failed).contains(code), "{failed}");
    }
    let reply = app.send(post(&app, &message("tools/call", &json!({"name": "delete_everything"})))).await;
    assert_eq!(said(&reply)[0]["error"]["code"], -32602);
}

#[tokio::test]
async fn an_answer_without_a_model_says_so() {
    let (app, _) = shop(&[]).await;
    let answered = call(&app, "ask_documents", json!({"question": QUESTION})).await;
    assert_eq!((&answered["isError"], &answered["structuredContent"]["mode"]), (&json!(false), &json!("extractive")));
    assert!(text(&answered).contains("without a model"), "{answered}");
}

#[tokio::test]
async fn documents_are_resources_in_pages() {
    let app = TestApp::start().await;
    let texts: Vec<Value> = (0..101).map(|n| json!({"title": format!("t{n}"), "text": format!("text {n}")})).collect();
    assert_eq!(app.post("/api/documents?wait=true", &json!({"documents": texts})).await.status, 200);
    let first = result(&app, "resources/list", json!({})).await;
    let second = result(&app, "resources/list", json!({"cursor": first["nextCursor"]})).await;
    let count = |page: &Value| page["resources"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), second.get("nextCursor")), (100, 1, None));
    let last = &second["resources"][0];
    let read = result(&app, "resources/read", json!({"uri": last["uri"]})).await;
    assert_eq!((&last["name"], &read["contents"][0]["text"]), (&json!("t0"), &json!("text 0")));
    let templates = result(&app, "resources/templates/list", json!({})).await;
    assert_eq!(templates["resourceTemplates"][0]["uriTemplate"], "dokkai://documents/{id}");
    let unknown = message("resources/read", &json!({"uri": "dokkai://documents/01900000-0000-7000-8000-000000000000"}));
    let reply = said(&app.send(post(&app, &unknown)).await).pop().unwrap();
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["data"]["code"]),
        (&json!(-32002), &json!("document_not_found"))
    );
}

#[tokio::test]
async fn keys_hold_for_agents_too() {
    let mut app = TestApp::start_with(&["--api-keys", "a:reader:read"]).await;
    assert_eq!(app.send(post(&app, &initialize())).await.code(), "unauthorized");
    app.use_key("reader");
    // With a key it does not matter by which name the server is reached.
    assert_eq!(app.send(post(&app, &initialize()).header(HOST, "docs.example.com")).await.status, 200);
    assert!(!text(&call(&app, "ask_documents", json!({"question": QUESTION})).await).is_empty());
}

#[tokio::test]
async fn pages_from_elsewhere_are_turned_away() {
    let (app, _) = shop(&[]).await;
    let check = async |name: reqwest::header::HeaderName, value: &str, status: u16| {
        let reply = app.send(post(&app, &initialize()).header(name, value)).await;
        assert_eq!(reply.status, status, "{value} {}", reply.body);
        if status != 200 {
            assert_eq!(reply.code(), "forbidden");
        }
    };
    check(ORIGIN, "http://localhost:6274", 200).await;
    check(ORIGIN, "https://evil.example", 403).await;
    check(ORIGIN, "null", 403).await;
    check(HOST, "localhost:8080", 200).await;
    check(HOST, "evil.example:8080", 403).await;
}

#[tokio::test]
async fn requests_that_are_none_of_the_protocol_are_refused_in_the_error_shape() {
    let (app, _) = shop(&[]).await;
    for method in [Method::GET, Method::DELETE] {
        let reply = app.send(app.request(method, "/mcp")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str(), &reply.headers["allow"]),
            (405, "method_not_allowed", &"POST".parse().unwrap())
        );
    }
    let reply = app.post("/mcp", &initialize()).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (415, "unsupported_media_type"));
    let both = "application/json, text/event-stream";
    let broken =
        app.request(Method::POST, "/mcp").header(ACCEPT, both).header("content-type", "application/json").body("{");
    assert!(app.send(broken).await.status.is_client_error());
    let large = app.request(Method::POST, "/mcp").header(ACCEPT, both).body(vec![b' '; 3 << 20]);
    let reply = app.send(large).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (413, "too_large"));
}

/// What `dokkai mcp` says to these lines, once its stdin is closed.
fn stdio(folder: &std::path::Path, lines: &[Value]) -> Vec<Value> {
    let mut agent = command(folder);
    let agent = agent.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut agent = agent.spawn().unwrap();
    let mut stdin = agent.stdin.take().unwrap();
    for line in lines {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = agent.wait_with_output().unwrap();
    assert!(output.status.success());
    stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn agents_that_start_their_servers_speak_over_stdio() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("battery.txt"), "The battery lasts for ten hours.").unwrap();
    let file = folder.path().join("battery.txt").to_string_lossy().into_owned();
    assert!(run(folder.path(), &["ingest", &file]).status.success());
    let question = json!({"name": "ask_documents", "arguments": {"question": "How long does the battery last?"},
        "_meta": {"progressToken": 1}});
    let mut ask = message("tools/call", &question);
    ask["id"] = json!("ask");
    // Whoever closes still gets what was asked for.
    let said =
        stdio(folder.path(), &[initialize(), json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), ask]);
    let [first, .., last] = &said[..] else { panic!("{said:?}") };
    assert_eq!((&first["id"], &first["result"]["serverInfo"]["name"]), (&json!(7), &json!("dokkai")));
    assert_eq!(said.iter().filter(|one| one["method"] == "notifications/progress").count(), 2, "{said:?}");
    assert_eq!(last["id"], "ask");
    assert!(text(&last["result"]).contains("The battery lasts for ten hours."), "{last}");
}

#[test]
fn an_agent_that_leaves_at_once_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(stdio(folder.path(), &[initialize()]).len(), 1);
    assert_eq!(stdio(folder.path(), &[]), Vec::<Value>::new());
    // It talks to the server that holds the folder, where there is one.
    let _server = crate::support::process::Process::serve(folder.path(), &[]);
    assert_eq!(stdio(folder.path(), &[initialize()])[0]["result"]["serverInfo"]["name"], "dokkai");
}
