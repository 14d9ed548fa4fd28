//! For everyone: axe finds nothing wrong in any place, nothing is wider than the window, keys reach everything.

use fantoccini::key::Key;
use serde_json::json;

use super::app::TestApp;
use super::chromium::{Chromium, Visitor, WIDTHS, named};
use super::fake_llm::FakeLlm;
use super::{HENPIN, REFUND};

const IN_ENGLISH: &str = "Within how many days can goods be returned?";
const IN_JAPANESE: &str = "商品到着後何日以内なら返品できますか";

#[tokio::test]
async fn the_page_asks_for_the_key_that_the_server_wants() {
    let mut app = TestApp::start_with(&["--api-keys", "reader:sesame"]).await;
    app.use_key("sesame");
    app.add("Returns", REFUND).await;
    Visitor { provokes: Some("401"), ..Visitor::default() }
        .visit(&format!("{}/#/documents", app.url), async |page| {
            page.enter("key-input", "wrong\n").await;
            page.see_text("key-dialog", "did not accept").await;
            page.enter("key-input", "sesame\n").await;
            page.see_text("documents", "Returns").await;
            page.client.refresh().await.unwrap();
            page.see_text("documents", "Returns").await;
            assert_eq!(page.value("document.querySelector('[data-testid=key-dialog]')").await, json!(null));
            page.press("nav-ask").await;
            page.ask("Within how many days can goods be returned?").await;
            page.see_record("complete").await;
        })
        .await;
}

/// A server with documents, one of them broken; names as long as they come.
async fn lived_in(fake: &FakeLlm) -> TestApp {
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    let long = "donaudampfschifffahrtsgesellschaftskapitaen_2026-11-24_final-final(2)".repeat(3);
    app.add(&long, &format!("{HENPIN}\n\n{REFUND} {long}\n\n| a | b |\n|---|---|\n| {long} | {long} |")).await;
    app.add("Parcels", "Who returned goods pays for the parcel within 30 days.").await;
    app.upload(&[("broken.pdf", b"%PDF-1.4 broken")]).await;
    app
}

async fn check(page: &Chromium, place: &str) {
    assert!(page.fits().await, "{place} is wider than the window");
    assert_eq!(page.violations().await, Vec::<String>::new(), "{place}");
}

/// Through all places, as one visitor who opens everything that opens.
async fn walk(visitor: Visitor<'_>, question: &str) {
    let fake = FakeLlm::start().await;
    let app = lived_in(&fake).await;
    let open = "for (const details of document.querySelectorAll('details')) details.open = true;";
    let ended = "document.querySelector('[data-testid=record]:last-child')?.matches(':not([data-status=running])')";
    visitor
        .visit(&app.url, async |page| {
            page.see(&named("ask-box")).await;
            check(page, "asking").await;
            page.ask(&format!("{question} {}", "donaudampfschifffahrtsgesellschaftskapitaen".repeat(3))).await;
            page.until(ended).await;
            page.run(open).await;
            check(page, "an answer").await;
            page.ask(question).await;
            page.count(&named("record"), 2).await;
            page.until(ended).await;
            page.press("feedback-good").await;
            check(page, "a conversation").await;
            page.run(open).await;
            page.press("source-open").await;
            page.see(&named("viewer-text")).await;
            check(page, "a document").await;
            page.press("viewer-edit").await;
            check(page, "a form").await;
            page.press("edit-cancel").await;
            page.press("viewer-close").await;
            page.press("nav-documents").await;
            page.see(&named("document-error")).await;
            check(page, "documents").await;
            page.press("document-delete").await;
            check(page, "a deletion").await;
            page.press("undo").await;
            page.enter("search-box", "返品\n").await;
            page.see(&named("hit")).await;
            check(page, "a search").await;
            page.press("nav-activity").await;
            for part in ["question-row", "usage-chart", "health-row"] {
                page.see(&named(part)).await;
            }
            page.run(open).await;
            check(page, "activity").await;
        })
        .await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_wide_light_page_in_english() {
    walk(Visitor::default(), IN_ENGLISH).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_wide_dark_page_in_japanese() {
    walk(Visitor { languages: "ja", dark: true, ..Visitor::default() }, IN_JAPANESE).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_dark_phone_in_english() {
    walk(Visitor { width: 390, dark: true, ..Visitor::default() }, IN_ENGLISH).await;
}

#[tokio::test]
async fn axe_finds_nothing_on_a_light_phone_in_japanese() {
    walk(Visitor { languages: "ja", width: 390, ..Visitor::default() }, IN_JAPANESE).await;
}

#[tokio::test]
async fn axe_finds_nothing_where_there_is_nothing_yet() {
    let app = TestApp::start().await;
    for (width, dark) in WIDTHS.into_iter().zip([true, false]) {
        Visitor { width, dark, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.see(&named("no-documents")).await;
                check(page, "asking").await;
                page.press("nav-documents").await;
                page.see(&named("none")).await;
                check(page, "documents").await;
                page.press("nav-activity").await;
                page.see(&named("no-questions")).await;
                page.see(&named("usage-none")).await;
                check(page, "activity").await;
            })
            .await;
    }
}

#[tokio::test]
async fn everything_is_reached_by_keys() {
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    Visitor::default()
        .visit(&app.url, async |page| {
            let press = async |keys: &str| {
                page.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
            };
            let key = |key: Key| char::from(key).to_string();
            let focused = "document.activeElement.dataset.testid";
            let tab_to = async |id: &str| {
                for _ in 0..15 {
                    if page.value(focused).await == id {
                        return;
                    }
                    press(&key(Key::Tab)).await;
                }
                panic!("{id} is not reached");
            };
            tab_to("ask-box").await;
            press(IN_ENGLISH).await;
            press(&key(Key::Enter)).await;
            page.see_record("complete").await;
            page.until(&format!("{focused} === 'question'")).await;
            tab_to("citation").await;
            page.see_text("preview", "Goods can be returned").await;
            press(&key(Key::Enter)).await;
            page.until(&format!("{focused} === 'viewer-text'")).await;
            press(&key(Key::Escape)).await;
            page.until("!document.querySelector('[data-testid=viewer]')").await;
            page.until(&format!("{focused} === 'citation'")).await;
        })
        .await;
}
