//! Retrieval by words and by meaning, and what happens where meaning cannot be had.

use serde_json::Value;

use crate::support::app::TestApp;
use crate::support::fake_llm::{Answer, FakeLlm};

async fn app(fake: &FakeLlm, model: &str) -> TestApp {
    let url = fake.url();
    TestApp::start_with(&flags(&url, model)).await
}

fn flags<'a>(url: &'a str, model: &'a str) -> [&'a str; 8] {
    ["--llm-base-url", url, "--embedding-model", model, "--llm-max-attempts", "1", "--llm-backoff-ms", "1"]
}

/// Waits until every passage has its vector.
async fn embedded(app: &TestApp) {
    app.until(async || app.get("/readyz").await.json()["embedding"]["up_to_date"] == true).await;
}

async fn vectors(app: &TestApp) -> Value {
    app.get("/readyz").await.json()["embedding"]["vectors"].clone()
}

async fn search(app: &TestApp, query: &str) -> Value {
    app.get(&format!("/api/search?{query}")).await.json()
}

/// The texts of all embedding requests, in the order of their arrival.
fn texts(fake: &FakeLlm) -> Vec<String> {
    let inputs = fake.bodies().into_iter().filter_map(|body| body["input"].as_array().cloned());
    inputs.flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_found_by_both_and_identical_passages_cost_nothing() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, "multilingual-e5-small").await;
    app.add("water", "The water bill is due on the 20th.").await;
    app.add("battery", "The battery lasts for ten hours.").await;
    embedded(&app).await;
    let found = search(&app, "q=bill+due+on").await;
    assert_eq!((&found["mode"], &found["hits"][0]["title"]), (&"hybrid".into(), &"water".into()), "{found}");
    assert_eq!(found["hits"].as_array().unwrap().len(), 2, "meaning ranks all documents: {found}");
    let lexical = search(&app, "q=bill+due+on&mode=lexical").await;
    assert_eq!((&lexical["mode"], lexical["hits"].as_array().unwrap().len()), (&"lexical".into(), 1));

    let before = texts(&fake);
    assert_eq!(before.iter().filter(|text| text.starts_with("passage: ")).count(), 2, "{before:?}");
    assert_eq!(before.iter().filter(|text| **text == "query: bill due on").count(), 1, "{before:?}");
    // The same text in another collection, and the same query once more.
    let twin = serde_json::json!({"title": "water", "text": "The water bill is due on the 20th.", "collection": "b"});
    app.post("/api/documents?wait=true", &twin).await;
    app.until(async || vectors(&app).await == 3).await;
    let narrow = search(&app, "q=bill+due+on&collection=b").await;
    assert_eq!(narrow["hits"].as_array().unwrap().len(), 1, "{narrow}");
    assert_eq!(texts(&fake), before, "nothing was embedded twice");
    app.until(async || {
        let usage = app.get("/api/usage").await.json();
        usage["usage"].as_array().unwrap().iter().any(|day| day["model"] == "multilingual-e5-small")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_outlive_a_restart_and_go_with_their_documents() {
    let fake = FakeLlm::start().await;
    let mut app = app(&fake, "m").await;
    let water = app.add("water", "The water bill is due on the 20th.").await;
    app.add("battery", "The battery lasts for ten hours.").await;
    embedded(&app).await;
    let before = texts(&fake);
    app.restart().await;
    embedded(&app).await;
    assert_eq!((vectors(&app).await, texts(&fake)), (2.into(), before));
    app.delete(&format!("/api/documents/{water}")).await;
    app.until(async || vectors(&app).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_set_later_embeds_what_is_there() {
    let fake = FakeLlm::start().await;
    let mut app = TestApp::start().await;
    app.add("water", "The water bill is due on the 20th.").await;
    app.restart_with(&flags(&fake.url(), "m")).await;
    embedded(&app).await;
    assert_eq!((vectors(&app).await, texts(&fake).len()), (1.into(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_embeddings_words_answer_and_the_reply_says_why() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, "m").await;
    app.add("water", "The water bill is due on the 20th.").await;
    embedded(&app).await;
    fake.when().prompt("bill").always(Answer::status(503, &[], "{}"));
    let found = search(&app, "q=bill").await;
    assert_eq!((&found["mode"], &found["reason"]["code"]), (&"lexical".into(), &"upstream_unavailable".into()));
    assert_eq!(found["hits"][0]["title"], "water");
    assert_eq!(app.get("/readyz").await.status, 200);

    let plain = TestApp::start().await;
    plain.add("water", "The water bill is due on the 20th.").await;
    let found = search(&plain, "q=bill&mode=hybrid").await;
    assert_eq!((&found["mode"], &found["reason"]["code"]), (&"lexical".into(), &"no_upstream".into()));
    assert!(search(&plain, "q=bill").await.get("reason").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_refused_spoils_no_other() {
    let fake = FakeLlm::start().await;
    fake.when().prompt("unspeakable").always(Answer::status(400, &[], "{}"));
    let app = app(&fake, "m").await;
    app.add("water", "The water bill is due on the 20th.").await;
    embedded(&app).await;
    app.add("bad", "Something unspeakable.").await;
    app.add("battery", "The battery lasts for ten hours.").await;
    app.until(async || vectors(&app).await == 2).await;
    assert_eq!(search(&app, "q=battery").await["mode"], "hybrid");
}
