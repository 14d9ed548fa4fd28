//! Questions without a model: answered from the documents' own sentences, cited, streamed, stored.

use dokkai::answer::{self, Ask};
use futures_util::poll;
use serde_json::{Value, json};

use crate::support::TestApp;

async fn shop() -> TestApp {
    let app = TestApp::start().await;
    app.add("Returns", "Goods can be returned within 30 days. The customer pays for the parcel.").await;
    app.add("返品について", "返品は商品到着後三十日以内に承ります。送料はお客様のご負担です。").await;
    app.add("Recipes", "Boil the noodles for three minutes.").await;
    app
}

fn at(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_question_whose_client_leaves_while_it_is_stored_is_answered() {
    let app = shop().await;
    let context = app.context();
    let ask = Ask { question: "Within how many days can goods be returned?".into(), ..Ask::default() };
    let mut asking = Box::pin(answer::ask(&context, ask));
    assert!(poll!(&mut asking).is_pending());
    drop(asking);
    context.live.idle().await;
    let questions = app.get("/api/questions").await.json()["questions"].clone();
    assert_eq!(questions[0]["status"], "complete", "{questions}");
}

#[tokio::test]
async fn an_answer_is_made_of_sentences_that_stand_in_the_documents() {
    let app = shop().await;
    for (question, title, quote) in [
        ("Within how many days can goods be returned?", "Returns", "Goods can be returned within 30 days."),
        ("商品到着後何日以内なら返品できますか", "返品について", "返品は商品到着後三十日以内に承ります。"),
    ] {
        let record = app.ask(question).await;
        assert_eq!((&record["status"], &record["mode"]), (&json!("complete"), &json!("extractive")), "{record}");
        let citation = &record["citations"][0];
        assert_eq!((&citation["title"], &citation["quote"]), (&json!(title), &json!(quote)));
        assert_eq!((&citation["marker"], &citation["verified"]), (&json!(1), &json!(true)));
        assert!(record["answer"].as_str().unwrap().contains("[1]"));
        let path = format!("/api/documents/{}/text", citation["document_id"].as_str().unwrap());
        let text: Vec<char> = app.get(&path).await.body.chars().collect();
        let stands: String = text[at(&citation["start"])..at(&citation["end"])].iter().collect();
        assert_eq!(stands, quote);
        assert_eq!(record["usage"]["upstream_calls"], 0);
    }
}

#[tokio::test]
async fn a_quote_of_several_sentences_is_cited_as_a_whole() {
    let app = shop().await;
    let text = "Packages bring scripts along. They must be idempotent, however often the maintainer runs them.";
    app.add("Policy", text).await;
    let record = app.ask("Must it be idempotent if the maintainer runs it often?").await;
    assert_eq!(record["citations"][0]["quote"], text, "{record}");
    assert_eq!(record["uncited_sentences"], json!([]));
}

#[tokio::test]
async fn documents_in_the_other_language_answer_too() {
    let app = shop().await;
    let sentence = "遺失物を拾得した者は、速やかに警察署長に提出しなければならない。";
    app.add("落とし物", sentence).await;
    let record = app.ask("What must the finder of lost property do?").await;
    assert_eq!(record["status"], "complete", "{record}");
    assert_eq!(record["citations"][0]["quote"], sentence);
    let record = app.ask("麺は何分ゆでますか").await;
    assert_eq!(record["citations"][0]["quote"], "Boil the noodles for three minutes.", "{record}");
    let found = app.get("/api/search?q=lost property").await.json();
    let passage = &found["hits"][0]["passage"];
    let chars: Vec<char> = passage["text"].as_str().unwrap().chars().collect();
    let range = &passage["highlights"][0];
    assert_eq!(chars[at(&range[0])..at(&range[1])].iter().collect::<String>(), "遺失");
}

#[tokio::test]
async fn a_record_has_every_field_of_the_interface() {
    let app = shop().await;
    let record =
        app.ask_with(&json!({"question": "Can goods be returned?", "conversation_id": "c1", "top_k": 2})).await;
    let has = |value: &Value, fields: &[&str]| {
        for field in fields {
            assert!(value.get(field).is_some(), "no {field} in {value}");
        }
    };
    has(&record, &["id", "question", "status", "mode", "answer", "citations", "analyses", "coverage", "usage"]);
    has(&record, &["timings_ms", "models", "conversation_id", "created_at", "error"]);
    let analysis = &record["analyses"][0];
    has(analysis, &["document_id", "title", "relevance_score", "summary", "key_points", "evidence", "status", "error"]);
    has(analysis, &["cached", "model", "attempts", "latency_ms", "usage"]);
    has(&analysis["evidence"][0], &["passage_id", "quote", "start", "end", "page"]);
    let citation = ["marker", "document_id", "title", "passage_id", "quote", "start", "end", "page", "verified"];
    has(&record["citations"][0], &citation);
    has(&record["coverage"], &["retrieved", "analysed", "irrelevant", "failed", "timed_out"]);
    let usage =
        ["prompt_tokens", "completion_tokens", "total_tokens", "cost_usd", "cost_jpy", "upstream_calls", "by_model"];
    has(&record["usage"], &usage);
    has(&record["timings_ms"], &["retrieval", "analysis", "synthesis", "first_token", "total"]);
    assert_eq!(record["conversation_id"], "c1");
}

#[tokio::test]
async fn nothing_relevant_is_said_honestly_in_the_questions_language() {
    let app = shop().await;
    for (question, words) in [
        ("Who won the football match yesterday?", "None of the stored"),
        ("昨日の試合はどちらが勝ちましたか", "見つかりません"),
    ] {
        let record = app.ask(question).await;
        assert_eq!((&record["status"], &record["citations"]), (&json!("no_evidence"), &json!([])), "{record}");
        assert!(record["answer"].as_str().unwrap().contains(words));
    }
    let empty = TestApp::start().await.ask("anything").await;
    assert_eq!((&empty["status"], &empty["coverage"]["retrieved"]), (&json!("no_evidence"), &json!(0)));
}

#[tokio::test]
async fn events_tell_the_story_in_order_and_end_with_the_stored_record() {
    let app = shop().await;
    let events = app.ask_events(&json!({"question": "Within how many days can goods be returned?", "top_k": 2})).await;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"accepted"));
    assert_eq!(names.get(1), Some(&"retrieval"));
    assert_eq!(names.last(), Some(&"done"));
    let documents = events[1].data["documents"].as_array().unwrap().len();
    assert_eq!(names.iter().filter(|name| **name == "analysis").count(), documents);
    let record = &events.last().unwrap().data;
    let streamed: String =
        events.iter().filter(|e| e.name == "delta").map(|e| e.data["text"].as_str().unwrap()).collect();
    assert_eq!(record["answer"], streamed, "what was streamed is what is stored");
    let id = events[0].data["id"].as_str().unwrap();
    assert_eq!(&app.get(&format!("/api/questions/{id}")).await.json(), record);

    // Whoever comes later sees the same, and who saw a part of it exactly the rest.
    let path = format!("/api/questions/{id}/events");
    let replayed = app.get(&path).await.events();
    assert_eq!(replayed.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(&replayed.last().unwrap().data, record);
    for (place, event) in events.iter().enumerate() {
        let request = app.request(reqwest::Method::GET, &path).header("last-event-id", &event.id);
        let rest = app.send(request).await.events();
        let left = names.get(place + 1..).filter(|left| !left.is_empty()).unwrap_or(&["done"]);
        assert_eq!(rest.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), left, "after {}", event.id);
    }
    let request = app.request(reqwest::Method::GET, &path).header("last-event-id", "nonsense");
    assert_eq!(app.send(request).await.events(), replayed);
}

#[tokio::test]
async fn only_the_named_collection_is_asked() {
    let app = TestApp::start().await;
    for (collection, text) in
        [("tea", "Green tea is steeped for two minutes."), ("coffee", "Coffee is brewed for four minutes.")]
    {
        app.post("/api/documents?wait=true", &json!({"text": text, "collection": collection, "title": collection}))
            .await;
    }
    let record =
        app.ask_with(&json!({"question": "How many minutes is it steeped or brewed?", "collection": "tea"})).await;
    let titles: Vec<&Value> = record["analyses"].as_array().unwrap().iter().map(|a| &a["title"]).collect();
    assert_eq!(titles, ["tea"]);
}

#[tokio::test]
async fn past_questions_are_listed_and_deleted() {
    let app = shop().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(app.ask(&format!("Question {n} about returned goods?")).await["id"].clone());
    }
    let list = app.get("/api/questions?limit=2").await.json();
    let listed: Vec<&Value> = list["questions"].as_array().unwrap().iter().map(|q| &q["id"]).collect();
    assert_eq!((listed, &list["total"]), (vec![&ids[2], &ids[1]], &json!(3)));
    let rest =
        app.get(&format!("/api/questions?limit=2&cursor={}", list["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((&rest["questions"][0]["id"], &rest["next_cursor"]), (&ids[0], &Value::Null));
    let found = app.get("/api/questions?q=GOODS%202").await.json();
    assert_eq!((&found["questions"][0]["id"], &found["total"]), (&ids[2], &json!(1)));
    assert_eq!(app.get("/api/questions?q=goods%20parcel").await.json()["total"], 0);
    let path = format!("/api/questions/{}", ids[0].as_str().unwrap());
    assert_eq!(app.delete(&path).await.status, 204);
    assert_eq!(app.get(&path).await.code(), "question_not_found");
}

#[tokio::test]
async fn health_and_figures_are_there() {
    let app = shop().await;
    app.ask("Can goods be returned?").await;
    assert_eq!(app.get("/healthz").await.json()["status"], "ok");
    let ready = app.get("/readyz").await.json();
    assert_eq!((&ready["status"], &ready["mode"]), (&json!("ok"), &json!("extractive")));
    let figures = app.get("/metrics").await.body;
    assert!(figures.contains("dokkai_questions_total{"), "{figures}");
    let usage = app.get("/api/usage?days=7").await.json();
    assert_eq!((&usage["usage"], &usage["total"]["cost_usd"]), (&json!([]), &json!(0.0)));
}
