//! What documents say without a question: concurrently, in order, kept, shown.

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models::{ANALYSIS, app, calls};

fn summary(text: &str) -> Answer {
    Answer::text(json!({"summary": text, "key_points": ["one", "two"]}).to_string())
}

fn of<'a>(reply: &'a Value, field: &str) -> Vec<&'a Value> {
    reply["analyses"].as_array().unwrap().iter().map(|one| &one[field]).collect()
}

#[tokio::test]
async fn documents_are_summarised_at_once_in_order_each_with_its_result_or_error() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    let mut ids = Vec::new();
    for name in ["slow", "bad", "fast"] {
        ids.push(app.add(name, &format!("This is the {name} document, which says little.")).await);
    }
    ids.push("00000000-0000-0000-0000-000000000000".to_owned());
    fake.when().prompt("slow document").always(summary("Slow.").after(300));
    fake.when().prompt("bad document").always(Answer::status(400, &[], "{}").after(200));
    fake.when().prompt("fast document").always(summary("Fast.").after(200));
    let asked = json!({"document_ids": ids});
    let reply = app.post("/api/analyses", &asked).await.json();
    assert_eq!(
        of(&reply, "document_id"),
        ids.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(of(&reply, "status"), ["ok", "failed", "ok", "failed"]);
    assert_eq!(of(&reply, "summary"), ["Slow.", "", "Fast.", ""]);
    let codes: Vec<&Value> = reply["analyses"].as_array().unwrap().iter().map(|one| &one["error"]["code"]).collect();
    assert_eq!(codes, [&Value::Null, &json!("upstream_rejected"), &Value::Null, &json!("document_not_found")]);
    assert_eq!(fake.most_in_flight(), 3);

    // Kept with the document, shown with it, not paid twice.
    let document = app.get(&format!("/api/documents/{}", ids[0])).await.json();
    assert_eq!((&document["summary"], &document["key_points"]), (&json!("Slow."), &json!(["one", "two"])));
    let listed = app.get("/api/documents").await.json();
    assert_eq!(listed["documents"].as_array().unwrap().iter().filter(|one| one["summary"].is_string()).count(), 2);
    let before = calls(&fake, ANALYSIS);
    let again = app.post("/api/analyses", &json!({"document_ids": [ids[2], ids[0], ids[2]]})).await.json();
    assert_eq!(of(&again, "summary"), ["Fast.", "Slow.", "Fast."]);
    assert_eq!(of(&again, "cached"), [true; 3]);
    assert_eq!((calls(&fake, ANALYSIS), &again["usage"]["upstream_calls"]), (before, &json!(0)));
    // Another model makes another summary.
    let other = app.post("/api/analyses", &json!({"document_ids": [ids[0]], "model": "other"})).await.json();
    assert_eq!((&other["analyses"][0]["model"], calls(&fake, "other")), (&json!("other"), 1));

    let request = app.request(Method::POST, "/api/analyses").header(ACCEPT, "application/x-ndjson");
    let lines: Vec<Value> =
        app.send(request.json(&asked)).await.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn a_long_document_is_summarised_in_parts_and_the_parts_as_one() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    let chapter = |n: usize| format!("# Chapter {n}\n\n{}\n\n", format!("Chapter {n} tells of ship {n}. ").repeat(60));
    let id = app.add("Ships", &(0..60).map(chapter).collect::<String>()).await;
    fake.when().prompt("summaries of the parts").always(summary("A book of ships."));
    fake.when().model(ANALYSIS).always(summary("A chapter."));
    let reply = app.post("/api/analyses", &json!({"document_ids": [id]})).await.json();
    assert_eq!(
        (&reply["analyses"][0]["summary"], &reply["analyses"][0]["status"]),
        (&json!("A book of ships."), &json!("ok"))
    );
    assert!((3..=9).contains(&calls(&fake, ANALYSIS)), "{}", calls(&fake, ANALYSIS));
}

#[tokio::test]
async fn without_a_model_the_documents_own_sentences_are_the_summary() {
    let app = TestApp::start().await;
    let text = "# 案内\n\n水道料金は検針日の翌月20日までに払います。\n\n口座振替は窓口で申し込めます。水道料金の減免もあります。";
    let id = app.add("水道料金", text).await;
    let reply = app.post("/api/analyses", &json!({"document_ids": [id]})).await.json();
    let one = &reply["analyses"][0];
    assert_eq!((&one["status"], &one["model"]), (&json!("ok"), &Value::Null));
    assert!(one["summary"].as_str().unwrap().starts_with("水道料金は検針日の翌月20日までに払います。"), "{one}");
}

#[tokio::test]
async fn how_many_documents_and_which_are_checked() {
    let app = TestApp::start().await;
    let many = vec!["00000000-0000-0000-0000-000000000000"; 101];
    let cases = [
        (json!({"document_ids": []}), "invalid_parameter"),
        (json!({"document_ids": many}), "invalid_parameter"),
        (json!({"document_ids": ["x"]}), "invalid_request"),
        (json!({"document_ids": ["00000000-0000-0000-0000-000000000000"], "deadline_ms": 0}), "invalid_parameter"),
        (json!({}), "invalid_request"),
    ];
    for (body, code) in cases {
        let reply = app.post("/api/analyses", &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_REQUEST, code), "{body}");
    }
}
