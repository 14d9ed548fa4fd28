//! The description of the API: every route, nothing else, and nothing that it refers to is missing.

use std::collections::BTreeSet;

use dokkai::error::Code;
use serde_json::{Value, json};

use crate::support::TestApp;

/// Method and path of every route, as the route table has them.
fn registered() -> BTreeSet<String> {
    let table = include_str!("../../src/http/mod.rs");
    let table: String = table.split_whitespace().collect();
    let mut found = BTreeSet::new();
    for entry in table.split("resource(\"").skip(1) {
        let (path, rest) = entry.split_once("\",&[").unwrap();
        let (methods, _) = rest.split_once(']').unwrap();
        for method in methods.split(',').filter_map(|method| method.strip_prefix("Method::")) {
            found.insert(format!("{method} {}", path.replace(":.*}", "}")));
        }
    }
    found
}

/// What every `$ref` of a document points to.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_description_names_every_route_and_no_other() {
    let app = TestApp::start().await;
    let described = app.get("/api/openapi.json").await.json();
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"), "{}", described["openapi"]);
    let mut operations = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.insert(format!("{} {path}", method.to_uppercase()));
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path}");
            assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Failure");
            let responses = operation["responses"].as_object().unwrap();
            let explained = |one: &Value| one.get("$ref").is_some() || one["description"].is_string();
            assert!(responses.values().all(explained), "{method} {path}");
            let placeholders = path.matches('{').count();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), placeholders, "{method} {path}");
        }
    }
    assert!(registered().len() > 30, "the route table cannot be read any more");
    assert_eq!(operations, registered());
}

#[tokio::test]
async fn the_description_is_whole() {
    let app = TestApp::start().await;
    let described = app.get("/api/openapi.json").await.json();
    let mut found = Vec::new();
    references(&described, &mut found);
    assert!(found.len() > 50, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(described.pointer(pointer).is_some(), "{reference}");
    }
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let schemas = &described["components"]["schemas"];
    assert_eq!(schemas["Code"]["enum"], json!(codes));
    assert_eq!(described["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    assert_eq!(described["paths"]["/healthz"]["get"]["security"], json!([{}]));
}

/// What a record really holds is what the description says that it holds.
#[tokio::test]
async fn a_record_has_the_described_fields() {
    let app = TestApp::start().await;
    let id = app.add("Returns", "Goods can be returned within 30 days.").await;
    let described = app.get("/api/openapi.json").await.json();
    let check = |schema: &str, value: &Value| {
        let said = &described["components"]["schemas"][schema];
        let properties = said["properties"].as_object().unwrap_or_else(|| panic!("{schema}: {said}"));
        for field in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(field), "{schema} has {field}, which is not described");
        }
        for field in said["required"].as_array().unwrap() {
            assert!(value.get(field.as_str().unwrap()).is_some(), "{schema} lacks {field}");
        }
    };
    let record = app.ask("Within how many days can goods be returned?").await;
    check("QuestionRecord", &record);
    check("Analysis", &record["analyses"][0]);
    check("Citation", &record["citations"][0]);
    check("Usage", &record["usage"]);
    check("Document", &app.get(&format!("/api/documents/{id}")).await.json());
    let found = app.get("/api/search?q=goods").await.json();
    check("Found", &found);
    check("Hit", &found["hits"][0]);
    check("FoundPassage", &found["hits"][0]["passage"]);
    check("ErrorObject", &app.get("/nowhere").await.json()["error"]);
}

#[tokio::test]
async fn the_reader_is_a_page_without_outside_parts() {
    let app = TestApp::start_with(&["--api-keys", "a:secret"]).await;
    let page = app.get("/docs").await;
    assert_eq!(
        (page.status.as_u16(), page.headers["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    assert!(!page.body.contains("://"), "{}", page.body);
    for part in ["/static/reader/rapidoc-9.3.8.js", "/static/reader/reader.js", "/static/style/base.css"] {
        assert!(page.body.contains(part), "{part}");
        assert_eq!(app.get(part).await.status, 200, "{part}");
    }
    assert_eq!(app.get("/api/openapi.json").await.code(), "unauthorized");
}
