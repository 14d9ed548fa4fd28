//! The page's files: all are served, under a policy that lets nothing else in.

use std::collections::BTreeSet;

use crate::support::TestApp;

/// Addresses of the page's modules. The reader of the API's description is a page of its own.
fn modules() -> BTreeSet<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/static");
    let files = walkdir::WalkDir::new(root).into_iter().map(|entry| entry.unwrap().into_path());
    let scripts = files.filter(|path| path.extension().is_some_and(|extension| extension == "js"));
    let addresses = scripts.map(|path| format!("/static/{}", path.strip_prefix(root).unwrap().display()));
    addresses.filter(|address| !address.starts_with("/static/reader/")).collect()
}

/// A module that is not named would be found only when another one that needs it has come.
#[tokio::test]
async fn the_page_names_every_module_so_that_all_are_fetched_at_once() {
    let app = TestApp::start().await;
    let page = app.get("/").await.body;
    let named: BTreeSet<String> = page
        .split('"')
        .filter(|text| text.starts_with("/static/") && text.ends_with(".js"))
        .map(str::to_owned)
        .collect();
    assert_eq!(named, modules());
    for address in page.split('"').filter(|text| text.starts_with("/static/")) {
        assert_eq!(app.get(address).await.status, 200, "{address}");
    }
}

#[tokio::test]
async fn nothing_but_the_page_s_own_files_may_run_or_be_fetched() {
    let app = TestApp::start().await;
    for path in ["/", "/static/app.js"] {
        let reply = app.get(path).await;
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        for rule in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'"]
        {
            assert!(policy.contains(rule), "{rule} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
}
