//! Deleting with a way back: what is undone was never deleted, what is not undone is.

use super::app::TestApp;
use super::chromium::{Visitor, WIDTHS, named};
use super::{HENPIN, REFUND};

async fn total(app: &TestApp) -> u64 {
    app.get("/api/documents").await.json()["total"].as_u64().unwrap()
}

/// Waits until the server has so many documents.
async fn until_total(app: &TestApp, wanted: u64) {
    app.until(async || total(app).await == wanted).await;
}

#[tokio::test]
async fn a_deletion_is_undone_by_button_and_by_keys() {
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    app.add("返品", HENPIN).await;
    for width in WIDTHS {
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.count(&named("document"), 2).await;
                page.press("document-delete").await;
                page.count(&named("document"), 1).await;
                assert_eq!(page.text("documents-total").await, "1 document");
                page.see_text("toast", "Deleted “返品”").await;
                page.press("undo").await;
                page.count(&named("document"), 2).await;
                page.press("document-delete").await;
                page.count(&named("document"), 1).await;
                let keys = "new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true })";
                page.run(&format!("document.body.dispatchEvent({keys});")).await;
                page.count(&named("document"), 2).await;
                page.count(&named("toast"), 0).await;
            })
            .await;
    }
    assert_eq!(total(&app).await, 2, "the server was never told");
}

#[tokio::test]
async fn a_deletion_reaches_the_server_when_its_time_is_over_or_the_page_closes() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        for n in 0..3 {
            app.add(&format!("Document {n}"), &format!("{REFUND} {n}")).await;
        }
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.count(&named("document"), 3).await;
                page.press("document-delete").await;
                page.count(&named("document"), 2).await;
                page.press("undo-dismiss").await;
                until_total(&app, 2).await;
                // It stays away where the place is shown anew.
                page.press("nav-ask").await;
                page.press("nav-documents").await;
                page.count(&named("document"), 2).await;

                page.press("document-delete").await;
                page.count(&named("document"), 1).await;
                page.press("nav-activity").await;
                page.press("nav-documents").await;
                page.count(&named("document"), 1).await;
                assert_eq!(total(&app).await, 2, "the server is not told yet");
                page.client.goto("about:blank").await.unwrap();
                until_total(&app, 1).await;
            })
            .await;
    }
}

#[tokio::test]
async fn a_deletion_that_the_server_refuses_is_taken_back() {
    let mut app = TestApp::start_with(&["--api-keys", "owner:sesame,reader:peek:read"]).await;
    app.use_key("sesame");
    app.add("Returns", REFUND).await;
    Visitor { provokes: Some("40"), ..Visitor::default() }
        .visit(&format!("{}/#/documents", app.url), async |page| {
            page.enter("key-input", "peek\n").await;
            page.count(&named("document"), 1).await;
            page.press("document-delete").await;
            page.count(&named("document"), 0).await;
            page.press("undo-dismiss").await;
            page.see("[role=alert].toast").await;
            page.count(&named("document"), 1).await;
        })
        .await;
}

/// A list that was asked for before a deletion and comes after it must not bring the document back.
#[tokio::test]
async fn a_deleted_document_does_not_come_back_with_a_list_that_was_on_its_way() {
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    Visitor::default()
        .visit(&format!("{}/#/documents", app.url), async |page| {
            page.count(&named("document"), 1).await;
            // The next list is held back until it is let go; all are counted.
            page.run(
                "const fetch = window.fetch; window.lists = 0;
                 window.fetch = async (url, options) => {
                   const answer = await fetch(url, options);
                   if (!/\\/api\\/documents\\?limit=50/.test(String(url))) return answer;
                   window.lists += 1;
                   if (window.lists === 1) await new Promise((go) => { window.go = go; });
                   return answer;
                 };",
            )
            .await;
            app.add("返品", HENPIN).await;
            page.until("window.lists >= 1").await;
            // The other one may be shown already, above it.
            page.run(
                "[...document.querySelectorAll('[data-testid=document]')].find((row) => row.innerText.includes('Returns'))
                   .querySelector('[data-testid=document-delete]').click();",
            )
            .await;
            page.press("undo-dismiss").await;
            until_total(&app, 1).await;
            page.run("window.go();").await;
            page.see_text("documents", "返品").await;
            page.count(&named("document"), 1).await;
        })
        .await;
}
