//! A server with models, and documents for them to read.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::app::TestApp;
use super::fake_llm::{Answer, FakeLlm};

pub(crate) const ANALYSIS: &str = "deepseek-v3.2";
pub(crate) const SYNTHESIS: &str = "gpt-4.1";

/// Flags for a server with the scripted upstream and 1 ms between tries.
pub(crate) fn flags(fake: &FakeLlm) -> Vec<String> {
    let url = fake.url();
    let mut all =
        vec!["--llm-base-url", &url, "--llm-api-key", "k", "--llm-backoff-ms", "1", "--llm-max-attempts", "2"];
    // A second attempt beside a slow one would make the number of calls a matter of luck.
    all.extend(["--llm-hedge", "false"]);
    all.into_iter().map(str::to_owned).collect()
}

/// A server with these flags and more.
pub(crate) async fn app(fake: &FakeLlm, more: &[&str]) -> TestApp {
    let flags = flags(fake);
    TestApp::start_with(&flags.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>()).await
}

/// Documents about one thing, so that a question retrieves all of them.
pub(crate) fn branches(count: usize) -> Value {
    let documents: Vec<Value> = (0..count)
        .map(|n| json!({"title": format!("Branch {n}"), "text": format!("Branch {n} opens at nine o'clock.\n\nIt has {n} counters.")}))
        .collect();
    json!({"documents": documents})
}

/// Adds these documents.
pub(crate) async fn add_many(app: &TestApp, count: usize) {
    let reply = app.post("/api/documents?wait=true", &branches(count)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
}

pub(crate) fn analysis(relevance: f64, quotes: &[&str]) -> Answer {
    let reply = json!({"relevance_score": relevance, "summary": "It opens at nine.", "key_points": ["nine"], "evidence": quotes});
    Answer::text(reply.to_string())
}

/// Requests to a model so far.
pub(crate) fn calls(fake: &FakeLlm, model: &str) -> usize {
    fake.bodies().iter().filter(|body| body["model"] == model).count()
}
