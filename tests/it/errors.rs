//! Every failure of every route: the right status, a stable code, the one shape.

use dokkai::error::Code;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_with_their_code() {
    let app = TestApp::start().await;
    let id = "01900000-0000-7000-8000-000000000000";
    let cases = [
        (Method::GET, "/nowhere".to_owned(), None, 404, "route_not_found"),
        (Method::GET, "/api/nowhere".to_owned(), None, 404, "route_not_found"),
        (Method::GET, "/static/nowhere.js".to_owned(), None, 404, "route_not_found"),
        (Method::GET, "/static/../Cargo.toml".to_owned(), None, 404, "route_not_found"),
        (Method::PATCH, "/api/search".to_owned(), None, 405, "method_not_allowed"),
        (Method::PUT, "/api/documents".to_owned(), None, 405, "method_not_allowed"),
        (Method::POST, format!("/api/documents/{id}"), None, 405, "method_not_allowed"),
        (Method::GET, format!("/api/documents/{id}"), None, 404, "document_not_found"),
        (Method::GET, "/api/documents/not-an-id".to_owned(), None, 404, "document_not_found"),
        (Method::POST, format!("/api/documents/{id}/retry"), None, 404, "document_not_found"),
        (Method::GET, format!("/api/questions/{id}"), None, 404, "question_not_found"),
        (Method::GET, format!("/api/questions/{id}/events"), None, 404, "question_not_found"),
        (Method::DELETE, "/api/questions/7".to_owned(), None, 404, "question_not_found"),
        (Method::POST, "/api/questions".to_owned(), Some("{"), 400, "invalid_request"),
        (Method::POST, "/api/questions".to_owned(), Some("{}"), 400, "invalid_request"),
        (Method::POST, "/api/questions".to_owned(), Some(r#"{"question": "  "}"#), 400, "invalid_parameter"),
        (
            Method::POST,
            "/api/questions".to_owned(),
            Some(r#"{"question": "x", "top_k": 51}"#),
            400,
            "invalid_parameter",
        ),
        (
            Method::POST,
            "/api/questions".to_owned(),
            Some(r#"{"question": "x", "deadline_ms": 0}"#),
            400,
            "invalid_parameter",
        ),
        (
            Method::POST,
            "/api/questions".to_owned(),
            Some(r#"{"question": "x", "max_cost_usd": -1}"#),
            400,
            "invalid_parameter",
        ),
        (Method::POST, "/api/documents".to_owned(), Some("{"), 400, "invalid_request"),
        (Method::POST, "/api/documents".to_owned(), Some("[]"), 400, "invalid_request"),
        (Method::POST, "/api/documents".to_owned(), Some(r#"{"documents": []}"#), 400, "invalid_parameter"),
        (Method::POST, "/api/documents".to_owned(), Some(r#"{"text": ""}"#), 422, "empty_file"),
        (Method::POST, "/api/generations".to_owned(), Some(r#"{"prompts": []}"#), 400, "invalid_parameter"),
        (Method::GET, "/api/usage?days=0".to_owned(), None, 400, "invalid_parameter"),
    ];
    for (method, path, body, status, code) in cases {
        let mut request = app.request(method.clone(), &path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let reply = app.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{method} {path} {body:?}");
    }
}

#[tokio::test]
async fn bodies_of_the_wrong_type_or_size_are_refused() {
    let app = TestApp::start_with(&["--max-upload-mb", "1"]).await;
    let post = |path: &str, media_type: &str, body: Vec<u8>| {
        app.request(Method::POST, path).header("content-type", media_type.to_owned()).body(body)
    };
    let replay = format!("/api/questions/{}/replay", uuid::Uuid::now_v7());
    let cases = [
        ("/api/documents", "text/plain", b"text".to_vec(), 415, "unsupported_media_type"),
        ("/api/questions", "text/plain", b"text".to_vec(), 415, "unsupported_media_type"),
        ("/api/documents", "multipart/form-data", b"no boundary".to_vec(), 400, "invalid_request"),
        ("/api/documents", "multipart/form-data; boundary=x", b"--x--\r\n".to_vec(), 400, "invalid_parameter"),
        ("/api/questions", "application/json", vec![b' '; 3 << 20], 413, "too_large"),
        ("/api/documents", "application/json", vec![b' '; 3 << 20], 413, "too_large"),
        (replay.as_str(), "application/json", vec![b' '; 3 << 20], 413, "too_large"),
    ];
    for (path, media_type, body, status, code) in cases {
        let reply = app.send(post(path, media_type, body)).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{path} {media_type}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_possible_names_those_that_are() {
    let app = TestApp::start().await;
    let reply = app.send(app.request(Method::POST, "/api/search")).await;
    assert_eq!(reply.headers["allow"], "GET");
}

#[tokio::test]
async fn a_request_keeps_its_own_id() {
    let app = TestApp::start().await;
    let own = app.send(app.request(Method::GET, "/healthz").header("x-request-id", "shop-42")).await;
    assert_eq!(own.headers["x-request-id"], "shop-42");
    let made = app.get("/healthz").await;
    assert_eq!(made.headers["x-request-id"].len(), 36);
    let insane = app.send(app.request(Method::GET, "/healthz").header("x-request-id", "a b")).await;
    assert_eq!(insane.headers["x-request-id"].len(), 36);
}

#[tokio::test]
async fn keys_decide_who_may_do_what() {
    let mut app = TestApp::start_with(&["--api-keys", "shop:write-secret,view:read-secret:read"]).await;
    for open in ["/healthz", "/readyz", "/"] {
        assert_eq!(app.get(open).await.status, StatusCode::OK, "{open}");
    }
    for closed in
        ["/api/documents", "/api/search?q=x", "/api/search/analyze?text=x", "/metrics", "/api/usage", "/nowhere"]
    {
        let reply = app.get(closed).await;
        assert_eq!((reply.status, reply.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"), "{closed}");
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
        assert_eq!(reply.json()["error"]["type"], "authentication_error");
    }
    app.use_key("wrong");
    assert_eq!(app.get("/api/documents").await.code(), "unauthorized");

    app.use_key("read-secret");
    assert_eq!(app.get("/api/documents").await.status, StatusCode::OK);
    assert_eq!(app.ask("anything?").await["status"], "no_evidence");
    let written = app.post("/api/documents", &json!({"text": "x"})).await;
    assert_eq!((written.status, written.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    assert_eq!(app.delete("/api/documents/01900000-0000-7000-8000-000000000000").await.code(), "forbidden");

    app.use_key("write-secret");
    app.add("t", "text").await;
}

#[test]
fn codes_are_distinct_words() {
    let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(words.iter().all(|word| word.chars().all(|char| char.is_ascii_lowercase() || char == '_')));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Code::ALL.len());
}
