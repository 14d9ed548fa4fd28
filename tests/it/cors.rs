//! Pages from elsewhere, and the address that links lead to.

use reqwest::Method;
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Reply;

const PAGE: &str = "https://app.example.com";

/// What a browser asks before it sends a page's question.
async fn preflight(app: &TestApp, origin: &str) -> Reply {
    let request = app.request(Method::OPTIONS, "/api/questions").header(ORIGIN, origin);
    let request = request.header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
    app.send(request.header(ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")).await
}

fn allowed(reply: &Reply) -> Option<&str> {
    reply.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|origin| origin.to_str().unwrap())
}

#[tokio::test]
async fn no_page_from_elsewhere_may_call_unless_it_is_named() {
    let app = TestApp::start().await;
    assert_eq!(allowed(&preflight(&app, PAGE).await), None);

    let flags = ["--cors-origins", "https://app.example.com, http://localhost:3000", "--api-keys", "a:secret"];
    let mut app = TestApp::start_with(&flags).await;
    let asked = preflight(&app, PAGE).await;
    assert_eq!((asked.status.as_u16(), allowed(&asked)), (200, Some(PAGE)));
    assert!(asked.headers.contains_key("x-request-id"));
    assert_eq!(allowed(&preflight(&app, "https://evil.example").await), None);
    // A page may read why it was refused.
    let refused = app.send(app.request(Method::GET, "/api/documents").header(ORIGIN, PAGE)).await;
    assert_eq!((refused.code().as_str(), allowed(&refused)), ("unauthorized", Some(PAGE)));
    app.use_key("secret");
    let listed = app.send(app.request(Method::GET, "/api/documents").header(ORIGIN, "http://localhost:3000")).await;
    assert_eq!((listed.status.as_u16(), allowed(&listed)), (200, Some("http://localhost:3000")));
    assert!(listed.headers["access-control-expose-headers"].to_str().unwrap().to_lowercase().contains("x-request-id"));

    let open = TestApp::start_with(&["--cors-origins", "*"]).await;
    assert_eq!(allowed(&preflight(&open, "https://any.example").await), Some("*"));
}

#[tokio::test]
async fn links_lead_to_the_public_address() {
    let app = TestApp::start_with(&["--public-url", "https://docs.example.com/dokkai/"]).await;
    app.add("Returns", "Goods can be returned within 30 days.").await;
    let question = json!([{"role": "user", "content": "Within how many days can goods be returned?"}]);
    let reply = app.post("/v1/chat/completions", &json!({"model": "dokkai", "messages": question})).await.json();
    let url = reply["choices"][0]["message"]["annotations"][0]["url_citation"]["url"].as_str().unwrap();
    assert!(url.starts_with("https://docs.example.com/dokkai/#/documents?doc="), "{url}");
}
