//! The page in a real browser, against the whole server: what a user does, and what must never happen meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop at once")]

#[path = "../it/support/app.rs"]
#[allow(dead_code, reason = "the harness is shared; each binary uses a part of it")]
mod app;
mod chromium;
#[path = "../it/support/fake_llm.rs"]
#[allow(dead_code, reason = "the harness is shared; each binary uses a part of it")]
mod fake_llm;

use serde_json::json;

use self::app::TestApp;
use self::chromium::{Visitor, named};
use self::fake_llm::{Answer, FakeLlm};

const REFUND: &str = "Goods can be returned within 30 days. The customer pays for the parcel.";
const HENPIN: &str = "返品は商品到着後三十日以内に承ります。送料はお客様のご負担です。";

#[tokio::test]
async fn dropped_files_become_ready_and_a_broken_one_says_why_not() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode(
        "<html><head><meta charset=\"Shift_JIS\"><title>返品規約</title></head><body><p>返品は三十日以内です。</p></body></html>",
    );
    let files: [(&str, &[u8]); 3] = [
        ("returns.md", b"# Returns\n\nGoods can be returned."),
        ("規約.html", &sjis),
        ("broken.pdf", b"%PDF-1.4 broken"),
    ];
    let paths = files.map(|(name, bytes)| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    });
    Visitor::default()
        .visit(&format!("{}/#/documents", app.url), async |page| {
            page.see(&named("none")).await;
            page.enter("file-input", &paths.join("\n")).await;
            page.until("document.querySelectorAll('[data-testid=document][data-status=ready]').length === 2").await;
            page.see("[data-testid=document][data-status=failed]").await;
            assert_eq!(page.text("upload-summary").await, "2 of 3 ready · 1 failed");
            assert!(page.text("document-error").await.contains("PDF is damaged"));
            page.see_text("documents", "返品規約").await;
            page.press("document-retry").await;
            page.see("[data-testid=document][data-status=failed]").await;
            page.enter("search-box", "三十日\n").await;
            page.until("document.querySelector('[data-testid=hit] mark')?.textContent.includes('三十')").await;
            page.press("search-clear").await;
            page.press("document-delete").await;
            page.press("confirm-agree").await;
            page.until("document.querySelectorAll('[data-testid=document]').length === 2").await;
        })
        .await;
    assert_eq!(app.get("/api/documents").await.json()["total"], 2, "deleted on the server, too");
}

/// A list that was asked for before a deletion and comes after it must not bring the document back.
#[tokio::test]
async fn a_deleted_document_does_not_come_back_with_a_list_that_was_on_its_way() {
    let app = TestApp::start().await;
    app.upload(&[("broken.pdf", b"%PDF-1.4 broken")]).await;
    Visitor::default()
        .visit(&format!("{}/#/documents", app.url), async |page| {
            page.see("[data-testid=document][data-status=failed]").await;
            // The next list is held back until it is let go; all are counted.
            page.run(
                "const fetch = window.fetch; window.lists = 0;
                 window.fetch = async (url, options) => {
                   const answer = await fetch(url, options);
                   if (!/^[^?]*\\/api\\/documents(\\?|$)/.test(String(url))) return answer;
                   window.lists += 1;
                   if (window.lists === 1) await new Promise((go) => { window.go = go; });
                   return answer;
                 };",
            )
            .await;
            page.press("document-retry").await;
            page.until("window.lists === 1").await;
            page.press("document-delete").await;
            page.press("confirm-agree").await;
            page.until("document.querySelectorAll('[data-testid=document]').length === 0").await;
            page.run("window.go();").await;
            page.until("window.lists >= 2").await;
            page.see(&named("none")).await;
            assert_eq!(page.value("document.querySelectorAll('[data-testid=document]').length").await, 0);
        })
        .await;
}

#[tokio::test]
async fn analyses_arrive_one_by_one_then_the_answer_streams_in_and_its_marks_open_the_quotes() {
    let fake = FakeLlm::start().await;
    fake.when().prompt("title=\"Parcels\"").always(Answer::sensible().after(700));
    let words =
        ["Goods can ", "be returned ", "within **30", " days** [", "1]", ", and the ", "customer pays [2", "]."];
    fake.when().model("gpt-4.1").always(Answer::slow_tokens(&words, 150));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    let above = "Nothing else matters here.\n\n".repeat(200);
    app.add("Returns", &format!("{above}😀 {REFUND}\n\n{above}")).await;
    app.add("Parcels", "Who returned goods pays for the parcel within 30 days.").await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.run(
                "window.steps = [];
                 new MutationObserver(() => {
                   const count = (status) => document.querySelectorAll(`[data-testid=source][data-status=${status}]`).length;
                   const record = document.querySelector('[data-testid=record]')?.dataset.status;
                   const prose = document.querySelector('[data-testid=answer]')?.innerText ?? '';
                   window.steps.push({ reading: count('reading'), read: count('ok'), record, prose });
                 }).observe(document.body, { childList: true, subtree: true, characterData: true });",
            )
            .await;
            page.ask("Within how many days can goods be returned?").await;
            page.see_record("complete").await;
            let steps = page.value("window.steps").await;
            let steps = steps.as_array().unwrap();
            assert!(steps.iter().any(|step| step["reading"] == 1 && step["read"] == 1), "one after the other");
            let growing = steps.iter().filter(|step| {
                step["record"] == "running" && step["prose"].as_str().unwrap().starts_with("Goods can")
            });
            assert!(growing.count() >= 2, "the answer grows: {steps:?}");
            assert!(
                page.text("answer").await.starts_with("Goods can be returned within 30 days"),
                "{}",
                page.text("answer").await
            );
            assert_eq!(page.text("coverage").await, "2 documents: 2 used");
            page.see("[data-testid=answer] strong").await;

            let quote = app.get("/api/questions").await.json()["questions"][0]["citations"][0]["quote"].clone();
            page.press("citation").await;
            page.until(&format!("document.querySelector('[data-testid=viewer-quote]')?.textContent === {quote}")).await;
            page.until(
                "(() => {
                   const mark = document.querySelector('[data-testid=viewer-quote]').getBoundingClientRect();
                   const text = document.querySelector('[data-testid=viewer-text]').getBoundingClientRect();
                   return mark.top >= text.top && mark.bottom <= text.bottom;
                 })()",
            )
            .await;
            page.press("viewer-close").await;
            page.until("!document.querySelector('[data-testid=viewer]') && !location.hash.includes('doc=')").await;
        })
        .await;
}

#[tokio::test]
async fn a_past_question_is_opened_again_from_activity() {
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    let record = app.ask("Within how many days can goods be returned?").await;
    app.ask("Who pays for the parcel?").await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.press("nav-activity").await;
            page.until("document.querySelectorAll('[data-testid=question-row]').length === 2").await;
            let id = record["id"].as_str().unwrap();
            page.see(&format!("[data-id='{id}'] [data-testid=question-open]")).await.click().await.unwrap();
            page.see_record("complete").await;
            assert_eq!(page.text("question").await, "Within how many days can goods be returned?");
            assert!(page.text("answer").await.contains("Goods can be returned within 30 days."));
            assert!(page.text("note-plainly").await.contains("without a language model"));
            page.client.refresh().await.unwrap();
            page.see_record("complete").await;
            page.client.back().await.unwrap();
            page.see(&format!("[data-id='{id}']")).await;
        })
        .await;
}

#[tokio::test]
async fn a_question_that_is_still_running_is_followed_after_a_reload() {
    let fake = FakeLlm::start().await;
    fake.when().model("gpt-4.1").always(Answer::slow_tokens(&["Within ", "30 ", "days ", "[1]", "."], 400));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    app.add("Returns", REFUND).await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.ask("Within how many days can goods be returned?").await;
            page.see_text("answer", "Within").await;
            page.client.refresh().await.unwrap();
            page.see_record("complete").await;
            page.see(&named("citation")).await;
            assert!(page.text("answer").await.starts_with("Within 30 days"));
        })
        .await;
    let asked = fake.requests().len();
    assert_eq!(asked, 2, "one analysis and one answer: a reload asks nothing again");
}

#[tokio::test]
async fn without_evidence_no_answer_is_made_up() {
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.ask("How are goods cooled in quantum computers near absolute zero?").await;
            page.see_record("no_evidence").await;
            assert!(page.text("note-none").await.contains("Your documents do not answer this."));
            assert_eq!(page.value("document.querySelector('[data-testid=answer]').innerText").await, "");
            assert_eq!(page.value("document.querySelectorAll('[data-testid=citation]').length").await, 0);
        })
        .await;
}

#[tokio::test]
async fn an_answer_that_lacks_something_says_what() {
    let fake = FakeLlm::start().await;
    let app = TestApp::start_with(&["--llm-base-url", &fake.url(), "--llm-max-attempts", "1"]).await;
    app.add("Returns", REFUND).await;
    let cut = Answer::tokens(&["Goods can be ", "returned within ", "30 days [1]", " and ", "more."]).cut_after(700);
    fake.when().prompt("how many days").model("gpt-4.1").always(cut);
    fake.when().prompt("Who pays").always(Answer::status(503, &[], "{}"));
    Visitor::default()
        .visit(&app.url, async |page| {
            page.ask("Within how many days can goods be returned?").await;
            page.see_record("partial").await;
            page.see_text("answer", "Goods can be returned").await;
            assert!(page.text("note-part").await.contains("The answer breaks off."));
            assert_eq!(page.text("verdict").await, "Incomplete answer");
            page.ask("Who pays for the parcel when goods are returned?").await;
            page.see_record("partial").await;
            page.see_text("answer", "The customer pays for the parcel.").await;
            assert!(page.text("note-plainly").await.contains("The language models could not be used"));
            assert_eq!(page.text("verdict").await, "Without a language model");
        })
        .await;
}

#[tokio::test]
async fn the_page_speaks_the_browser_s_language_and_english_otherwise() {
    let app = TestApp::start().await;
    app.add("返品について", HENPIN).await;
    for (languages, lang, heading, send) in [
        ("ja,en-US", "ja", "文書に質問する", "質問する"),
        ("en-GB,en,ja", "en", "Ask your documents", "Ask"),
        ("de-DE,de", "en", "Ask your documents", "Ask"),
    ] {
        Visitor { languages, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.see(&named("ask-box")).await;
                assert_eq!(page.value("document.documentElement.lang").await, lang, "{languages}");
                assert_eq!(page.value("document.querySelector('h1').innerText").await, heading);
                assert_eq!(page.text("ask-send").await, send);
                if lang == "ja" {
                    page.ask("商品到着後何日以内なら返品できますか").await;
                    page.see_record("complete").await;
                    assert_eq!(page.text("verdict").await, "言語モデルなし");
                    assert_eq!(page.text("coverage").await, "文書 1 件：使用 1");
                }
            })
            .await;
    }
}

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

#[tokio::test]
async fn nothing_is_wider_than_a_phone() {
    let app = TestApp::start().await;
    let long = "donaudampfschifffahrtsgesellschaftskapitaen_2026-11-24_final-final(2)".repeat(3);
    app.add(&long, &format!("{HENPIN}\n\n{REFUND} {long}\n\n| a | b |\n|---|---|\n| {long} | {long} |")).await;
    app.upload(&[("broken.pdf", b"%PDF-1.4 broken")]).await;
    Visitor { languages: "ja", width: 390, ..Visitor::default() }
        .visit(&app.url, async |page| {
            let fits = async |place: &str| {
                page.until("document.fonts.status === 'loaded'").await;
                let widths =
                    page.value("[document.documentElement.scrollWidth, document.documentElement.clientWidth]").await;
                assert_eq!(widths, json!([390, 390]), "{place}");
            };
            page.see(&named("ask-box")).await;
            fits("asking").await;
            page.ask(&format!("商品到着後何日以内なら返品できますか {long}")).await;
            page.until("document.querySelector('[data-testid=record]')?.dataset.status !== 'running'").await;
            page.run("for (const details of document.querySelectorAll('details')) details.open = true;").await;
            fits("an answer").await;
            page.press("source-open").await;
            page.see_text("viewer-text", "返品").await;
            fits("a document").await;
            page.press("viewer-close").await;
            page.press("nav-documents").await;
            page.see(&named("document-error")).await;
            fits("documents").await;
            page.enter("search-box", "返品\n").await;
            page.see(&named("hit")).await;
            fits("a search").await;
            page.press("nav-activity").await;
            page.see(&named("question-row")).await;
            fits("activity").await;
        })
        .await;
}

#[tokio::test]
async fn markup_in_documents_and_answers_stays_text() {
    let evil = "<img src=x onerror=\"window.struck=1\"><script>window.struck=1</script>";
    let fake = FakeLlm::start().await;
    let answer = format!("Goods {evil} [1] [press](javascript:window.struck=1) ![](https://example.com/x.png)");
    fake.when().model("gpt-4.1").always(Answer::text(answer));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    app.add(&format!("Returns {evil}"), &format!("Goods can be returned {evil} within 30 days.")).await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.ask(&format!("Within how many days can goods be returned? {evil}")).await;
            page.see_record("complete").await;
            let foreign = "document.querySelectorAll('main img, main script, dialog img, dialog script, [href^=\"javascript:\"]').length";
            assert_eq!(page.value(foreign).await, 0);
            assert!(page.text("answer").await.contains("< script>window.struck=1"), "{}", page.text("answer").await);
            page.press("citation").await;
            page.see_text("viewer-quote", "<img src=x").await;
            assert_eq!(page.value(foreign).await, 0);
            page.press("viewer-close").await;
            page.until("!document.querySelector('[data-testid=viewer]')").await;
            page.press("nav-documents").await;
            page.enter("search-box", "returned\n").await;
            page.see_text("hits", "<img src=x").await;
            page.press("nav-activity").await;
            page.see_text("questions", "<script>").await;
            assert_eq!(page.value(foreign).await, 0);
            assert_eq!(page.value("window.struck === undefined").await, true);
        })
        .await;
}
