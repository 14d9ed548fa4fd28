//! Searches and questions among some documents only.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::TestApp;

const TEXT: &str = "The turbine is inspected every spring.";

/// Adds a document about turbines; its id.
async fn add(app: &TestApp, title: &str, metadata: Value) -> String {
    let document = json!({"title": title, "text": format!("{TEXT} {title}"), "metadata": metadata});
    let reply = app.post("/api/documents?wait=true", &document).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()["documents"][0]["id"].as_str().unwrap().to_owned()
}

/// The titles that a filtered search finds, in alphabetical order.
async fn find(app: &TestApp, filter: &Value) -> Vec<String> {
    let query = [("q", "turbine".to_owned()), ("filter", filter.to_string())];
    let reply = app.send(app.request(Method::GET, "/api/search").query(&query)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let hits = reply.json()["hits"].as_array().unwrap().clone();
    let mut titles: Vec<String> = hits.iter().map(|hit| hit["title"].as_str().unwrap().to_owned()).collect();
    titles.sort();
    titles
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_what_it_admits_and_nothing_else() {
    let app = TestApp::start().await;
    let long = "あ".repeat(400);
    add(&app, "a", json!({"year": 2019, "lang": "ja", "tags": ["x", "y"], "date": "2019-05-01", "draft": true})).await;
    add(&app, "b", json!({"year": 2020, "lang": "en", "tags": ["y", "z"], "date": "2020-01-31", "draft": false})).await;
    add(&app, "c", json!({"year": 2023.5, "lang": "ja", "by": {"unit": "R&D"}, "date": "2023-12-31"})).await;
    add(&app, "d", json!({"year": "2020", "lang": "J", "note": format!("{long}b"), "level": -3})).await;
    add(&app, "e", json!({"note": format!("{long}a"), "level": 0})).await;
    let check = async |filter: Value, expected: &str| {
        assert_eq!(find(&app, &filter).await.concat(), expected, "{filter}");
    };
    check(json!({"metadata.lang": "ja"}), "ac").await;
    check(json!({"metadata.lang": "j"}), "").await;
    check(json!({"metadata.year": 2020}), "b").await;
    check(json!({"metadata.year": 2020.0}), "b").await;
    check(json!({"metadata.year": "2020"}), "d").await;
    check(json!({"metadata.year": {"gte": 2020, "lt": 2024}}), "bc").await;
    check(json!({"metadata.year": {"gt": 2020}}), "c").await;
    check(json!({"metadata.year": {"lte": 2020}}), "ab").await;
    check(json!({"metadata.year": {"gte": 2024}}), "").await;
    check(json!({"metadata.level": {"lt": 0}}), "d").await;
    check(json!({"metadata.level": {"gte": -3.5, "lte": 0}}), "de").await;
    check(json!({"metadata.tags": ["x", "z"]}), "ab").await;
    check(json!({"metadata.tags": "y", "metadata.lang": "en"}), "b").await;
    check(json!({"metadata.draft": false}), "b").await;
    check(json!({"metadata.by.unit": "R&D"}), "c").await;
    check(json!({"metadata.date": {"gte": "2019-06", "lte": "2023-12-31"}}), "bc").await;
    check(json!({"metadata.note": format!("{long}a")}), "e").await;
    check(json!({"metadata.note": {"gt": format!("{long}a")}}), "d").await;
    check(json!({"metadata.nothing": {"gte": 0}}), "").await;
    check(json!({"created_at": {"gte": "2024-01-01"}}), "abcde").await;
    check(json!({"created_at": {"lt": "2024-01-01T00:00:00Z"}}), "").await;
    check(json!({"created_at": {"gte": "2024-01-01"}, "metadata.lang": ["en", "J"]}), "bd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_sees_what_is_said_of_a_document_now() {
    let app = TestApp::start().await;
    let id = add(&app, "a", json!({"state": "old"})).await;
    let patch =
        app.request(Method::PATCH, &format!("/api/documents/{id}")).json(&json!({"metadata": {"state": "new"}}));
    assert_eq!(app.send(patch).await.status, StatusCode::OK);
    assert_eq!(find(&app, &json!({"metadata.state": "old"})).await.concat(), "");
    app.until(async || find(&app, &json!({"metadata.state": "new"})).await == ["a"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_makes_no_sense_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let check = async |filter: Value, reason: &str| {
        let query = [("q", "turbine".to_owned()), ("filter", filter.to_string())];
        let search = app.send(app.request(Method::GET, "/api/search").query(&query)).await;
        let question = app.post("/api/questions", &json!({"question": "turbine?", "filter": filter})).await;
        for reply in [search, question] {
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (StatusCode::BAD_REQUEST, "invalid_parameter"),
                "{filter}"
            );
            let error = &reply.json()["error"];
            assert_eq!(error["param"], "filter");
            assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
        }
    };
    check(json!([]), "JSON object").await;
    check(json!({}), "conditions").await;
    check(json!({"title": "x"}), "no field").await;
    check(json!({"metadata.": "x"}), "no field").await;
    check(json!({"metadata.a": null}), "a value must be").await;
    check(json!({"metadata.a": []}), "a list has").await;
    check(json!({"metadata.a": [[1]]}), "a value must be").await;
    check(json!({"metadata.a": {}}), "one or two bounds").await;
    check(json!({"metadata.a": {"ge": 1}}), "no bound").await;
    check(json!({"metadata.a": {"gte": 1, "gt": 2}}), "one lower and one upper").await;
    check(json!({"metadata.a": {"gte": 1, "lt": "2"}}), "both numbers").await;
    check(json!({"metadata.a": {"gte": true}}), "a number or a text").await;
    check(json!({"created_at": "yesterday"}), "a date must").await;
    check(json!({"created_at": {"gte": 2024}}), "a date must").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reads_only_what_its_filter_admits_and_its_record_shows_it() {
    let app = TestApp::start().await;
    for n in 0..5 {
        add(&app, &format!("old {n}"), json!({"year": 2010 + n})).await;
    }
    let wanted = add(&app, "new", json!({"year": 2020})).await;
    let filter = json!({"metadata.year": {"gte": 2015}});
    let record = app.ask_with(&json!({"question": "When is the turbine inspected?", "filter": filter})).await;
    assert_eq!(record["settings"]["filter"], filter);
    assert_eq!(record["coverage"]["retrieved"], 1, "{record}");
    let citations = record["citations"].as_array().unwrap();
    assert!(!citations.is_empty() && citations.iter().all(|one| one["document_id"] == *wanted), "{record}");
    let none =
        app.ask_with(&json!({"question": "When is the turbine inspected?", "filter": {"metadata.year": 1}})).await;
    assert_eq!(none["status"], "no_evidence");
}
