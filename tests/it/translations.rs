//! Questions that the documents answer in another language.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models::{ANALYSIS, SYNTHESIS, analysis, app};

const ASKED: &str = "水道料金の支払期限はいつですか";
const TRANSLATE: &str = "You put a question into another language";
const ENGLISH: &str = "The water bill is due on the 20th of every month.";

/// A server with documents in two languages, of which only an English one says when to pay.
async fn town(fake: &FakeLlm, flags: &[&str]) -> TestApp {
    let app = app(fake, flags).await;
    app.add("Water bill", ENGLISH).await;
    app.add("水道の歴史", "水道は江戸時代に始まりました。").await;
    app.add("ごみの収集", "ごみの収集は月曜日です。").await;
    fake.when().model(SYNTHESIS).always(Answer::text("毎月20日です[1]。"));
    app
}

fn translated() -> Answer {
    Answer::text(r#"{"question": "When is the water bill due?"}"#)
}

/// The requests for a translation so far.
fn translations(fake: &FakeLlm) -> Vec<Value> {
    let asks = |body: &Value| body["messages"][0]["content"].as_str().is_some_and(|text| text.starts_with(TRANSLATE));
    fake.bodies().into_iter().filter(asks).collect()
}

fn titles(record: &Value) -> Vec<&str> {
    record["retrieved"].as_array().unwrap().iter().map(|document| document["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_question_finds_what_is_written_in_the_other_language() {
    let fake = FakeLlm::start().await;
    let app = town(&fake, &["--translate", "on"]).await;
    fake.when().prompt(TRANSLATE).always(translated());
    fake.when().model(ANALYSIS).prompt(ENGLISH).always(analysis(0.9, &[ENGLISH]));
    fake.when().model(ANALYSIS).always(analysis(0.0, &[]));
    let record = app.ask(ASKED).await;
    assert_eq!((&record["status"], &record["question"]), (&json!("complete"), &json!(ASKED)), "{record}");
    assert_eq!(record["translated_question"], "When is the water bill due?");
    assert!(titles(&record).contains(&"Water bill"), "{record}");
    assert_eq!(record["citations"][0]["quote"], ENGLISH);
    assert_eq!(record["usage"]["upstream_calls"], titles(&record).len() + 2, "a translation, analyses, an answer");
    assert!(record["settings"]["prompts"]["translate"].is_string(), "{}", record["settings"]);

    // Remembered, and the other way round.
    let again = app.ask(ASKED).await;
    assert_eq!((translations(&fake).len(), &again["translated_question"]), (1, &record["translated_question"]));
    app.ask("When are bins collected in this town?").await;
    let asked: Vec<String> = translations(&fake).iter().map(|body| body["messages"][1].to_string()).collect();
    assert!(asked[0].contains("Into: English") && asked[1].contains("Into: Japanese"), "{asked:?}");

    // A question taken up again reads the same documents without another call.
    let id = record["id"].as_str().unwrap();
    let replayed = app.post(&format!("/api/questions/{id}/replay"), &json!({})).await.json()["replay"].take();
    assert_eq!(replayed["translated_question"], record["translated_question"], "{replayed}");
    assert_eq!(translations(&fake).len(), 2);
}

#[tokio::test]
async fn a_translation_that_fails_changes_nothing() {
    let replies = [
        Answer::status(400, &[], "{}"),
        Answer::status(500, &[], "{}"),
        Answer::text("I am sorry,\nI cannot."),
        Answer::silence(),
    ];
    for reply in replies {
        let fake = FakeLlm::start().await;
        let app = town(&fake, &["--translate", "on", "--answer-deadline-ms", "4000"]).await;
        fake.when().prompt(TRANSLATE).always(reply);
        fake.when().model(ANALYSIS).always(analysis(0.9, &["水道は江戸時代に始まりました。"]));
        let record = app.ask(ASKED).await;
        assert_eq!((&record["status"], &record["error"]), (&json!("complete"), &Value::Null), "{record}");
        assert_eq!(record["translated_question"], Value::Null, "{record}");
        assert_eq!(titles(&record), ["水道の歴史"]);
        assert!(!translations(&fake).is_empty());
    }
}

#[tokio::test]
async fn a_translation_that_comes_too_late_is_paid_for_and_remembered() {
    let fake = FakeLlm::start().await;
    let app = town(&fake, &["--translate", "on", "--answer-deadline-ms", "8000"]).await;
    fake.when().prompt(TRANSLATE).always(translated().after(900));
    fake.when().model(ANALYSIS).then([analysis(0.9, &["水道は江戸時代に始まりました。"]).after(2_000)]);
    fake.when().model(ANALYSIS).always(analysis(0.9, &[ENGLISH]));
    let first = app.ask(ASKED).await;
    assert_eq!((titles(&first), &first["translated_question"]), (vec!["水道の歴史"], &Value::Null), "{first}");
    assert_eq!(first["usage"]["upstream_calls"], 3, "a translation, an analysis, an answer");
    let second = app.ask(ASKED).await;
    assert!(titles(&second).contains(&"Water bill"), "{second}");
    assert_eq!(translations(&fake).len(), 1);
}

#[tokio::test]
async fn nothing_is_translated_without_need() {
    let ask = async |flags: &[&str], body: &Value| {
        let fake = FakeLlm::start().await;
        let app = town(&fake, flags).await;
        let other = json!({"title": "図書館", "text": "図書館は九時に開きます。", "collection": "ja"});
        app.post("/api/documents?wait=true", &other).await;
        let other = json!({"title": "Library", "text": "The library opens at nine o'clock in the morning.", "collection": "en"});
        app.post("/api/documents?wait=true", &other).await;
        let record = app.ask_with(body).await;
        assert_eq!(record["translated_question"], Value::Null, "{record}");
        translations(&fake).len()
    };
    let question = json!({"question": ASKED});
    let on = ["--translate", "on"];
    assert_eq!(ask(&on, &question).await, 1, "what the simulated model says is no question, but it is asked");
    assert_eq!(ask(&[], &question).await, 0, "there are documents in Japanese");
    assert_eq!(ask(&[], &json!({"question": ASKED, "collection": "en"})).await, 1, "there are none");
    assert_eq!(ask(&["--translate", "off"], &json!({"question": ASKED, "collection": "en"})).await, 0);
    assert_eq!(ask(&["--embedding-model", "m"], &question).await, 0, "vectors cross languages by themselves");
    assert_eq!(ask(&["--embedding-model", "m", "--translate", "on"], &question).await, 1);
    assert_eq!(ask(&on, &json!({"question": ASKED, "collection": "ja"})).await, 0, "all of it is in Japanese");
    assert_eq!(ask(&on, &json!({"question": ASKED, "max_cost_usd": 0.000_000_1})).await, 0, "it costs too much");
}
