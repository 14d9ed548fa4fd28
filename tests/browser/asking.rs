//! One question and its answer, from the first word to the facts below it.

use serde_json::json;

use super::app::TestApp;
use super::chromium::{Visitor, WIDTHS, named};
use super::fake_llm::{Answer, FakeLlm};
use super::{HENPIN, REFUND};

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
    for (width, languages, used) in [(1280, "en", "2 documents: 2 used"), (390, "ja", "文書 2 件：使用 2")] {
        Visitor { width, languages, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.see(&named("ask-box")).await;
                page.run(
                    "window.steps = []; window.shifts = [];
                 new PerformanceObserver((list) => {
                   for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifts.push(shift.value);
                 }).observe({ type: 'layout-shift' });
                 new MutationObserver(() => {
                   const source = '[data-testid=source][data-status=';
                   const count = (status) => document.querySelectorAll(`${source}${status}]`).length;
                   const record = document.querySelector('[data-testid=record]')?.dataset.status;
                   const prose = document.querySelector('[data-testid=answer]')?.innerText ?? '';
                   window.steps.push({ reading: count('reading'), read: count('ok'), record, prose });
                 }).observe(document.body, { childList: true, subtree: true, characterData: true });",
                )
                .await;
                // Another question each time: an analysis that is kept would come at once.
                page.ask(&format!("Within how many days can goods be returned? {width}")).await;
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
                assert_eq!(page.value("window.shifts").await, json!([]), "nothing moves while the answer comes");
                assert_eq!(page.text("coverage").await, used);
                assert!(page.text("cost").await.contains('$'));
                let gists = "[...document.querySelectorAll('[data-testid=source-gist]')].map((e) => e.textContent)";
                let gists = page.value(gists).await;
                let told = gists.as_array().unwrap().iter().all(|gist| gist.as_str().unwrap().contains("30 days"));
                assert!(told, "{gists}");
                page.see(&named("source-point")).await;
                page.see("[data-testid=answer] strong").await;

                let quote = app.get("/api/questions").await.json()["questions"][0]["citations"][0]["quote"].clone();
                page.run("document.querySelector('[data-testid=citation]').focus();").await;
                page.see_text("preview", "Goods can be returned").await;
                page.press("citation").await;
                page.until(&format!("document.querySelector('[data-testid=viewer-quote]')?.textContent === {quote}"))
                    .await;
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
    for width in WIDTHS {
        let app = TestApp::start().await;
        app.add("Returns", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("How are goods cooled in quantum computers near absolute zero?").await;
                page.see_record("no_evidence").await;
                assert!(page.text("note-none").await.contains("Your documents do not answer this."));
                assert_eq!(page.value("document.querySelector('[data-testid=answer]').innerText").await, "");
                assert_eq!(page.value("document.querySelectorAll('[data-testid=citation]').length").await, 0);
            })
            .await;
    }
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
            page.press("new-conversation").await;
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
async fn a_question_is_stopped_and_gone_on_with() {
    for width in WIDTHS {
        let fake = FakeLlm::start().await;
        fake.when().model("gpt-4.1").then([Answer::slow_tokens(&["Within "; 100], 400)]);
        fake.when().model("gpt-4.1").always(Answer::text("Within 30 days [1]."));
        let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
        app.add("Returns", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("Within how many days can goods be returned?").await;
                page.see_text("answer", "Within").await;
                page.press("stop").await;
                page.see_record("failed").await;
                page.see_text("note-part", "Stopped.").await;
                page.press("retry").await;
                page.see_record("complete").await;
                assert!(page.text("answer").await.starts_with("Within 30 days"), "{}", page.text("answer").await);
            })
            .await;
        assert_eq!(fake.requests().len(), 3, "going on makes the answer alone");
    }
}

#[tokio::test]
async fn what_failed_is_made_again_and_only_that() {
    for width in WIDTHS {
        let fake = FakeLlm::start().await;
        fake.when().prompt("title=\"Parcels\"").then([Answer::status(400, &[], "{}")]);
        let app = TestApp::start_with(&["--llm-base-url", &fake.url(), "--llm-max-attempts", "1"]).await;
        app.add("Returns", REFUND).await;
        app.add("Parcels", "Who returned goods pays for the parcel within 30 days.").await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("partial").await;
                page.see("[data-testid=source][data-status=failed]").await;
                assert_eq!(page.text("coverage").await, "2 documents: 1 used, 1 failed");
                page.press("retry").await;
                page.see_record("complete").await;
                assert_eq!(page.text("coverage").await, "2 documents: 2 used");
                page.count("[data-testid=source][data-status=ok]", 2).await;
                page.count(&named("retry"), 0).await;
            })
            .await;
        let read = fake.bodies().iter().filter(|body| body.to_string().contains("title=\\\"Returns\\\"")).count();
        assert_eq!(read, 1, "what succeeded is not read again");
    }
}

#[tokio::test]
async fn an_answer_is_written_again_below_the_first() {
    for width in WIDTHS {
        let fake = FakeLlm::start().await;
        let answers = ["Within 30 days [1].", "Goods can go back for 30 days [1]."];
        fake.when().model("gpt-4.1").then(answers.map(|answer| Answer::tokens(&[answer])));
        let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
        app.add("Returns", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("complete").await;
                page.press("replay").await;
                page.count(&format!("{}[data-status=complete]", named("record")), 2).await;
                page.count(&named("understood"), 0).await;
                let shown =
                    "[...document.querySelectorAll('[data-testid=answer]')].map((e) => e.textContent.slice(0, 9))";
                assert_eq!(page.value(shown).await, json!(["Within 30", "Goods can"]));
                assert_eq!(page.violations().await, Vec::<String>::new());
                // Both are of one conversation.
                page.client.refresh().await.unwrap();
                page.count(&format!("{}[data-status=complete]", named("record")), 2).await;
                page.count(&named("understood"), 0).await;
                assert_eq!(page.value(shown).await, json!(["Within 30", "Goods can"]));
            })
            .await;
        let questions = app.get("/api/questions").await.json();
        assert_eq!(questions["questions"][0]["replay_of"], questions["questions"][1]["id"], "{questions}");
    }
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.ask("Within how many days can goods be returned?").await;
            page.see_record("complete").await;
            page.see(&named("copy")).await;
            page.count(&named("replay"), 0).await;
        })
        .await;
}

#[tokio::test]
async fn an_answer_is_rated_copied_and_saved() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        app.add("Returns", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.run("navigator.clipboard.writeText = async (text) => { window.copied = text; };").await;
                page.catch_saved().await;
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("complete").await;
                page.press("copy").await;
                page.see_text("copy-said", "Copied").await;
                let copied = page.value("window.copied").await.as_str().unwrap().to_owned();
                for part in ["# Within how many days", "[1] Returns: “Goods can be returned within 30 days.”"] {
                    assert!(copied.contains(part), "{copied}");
                }
                page.press("save").await;
                page.until("window.saved === `${window.copied}\\n`").await;
                assert_eq!(page.value("window.savedAs").await, "Within how many days can goods be returned.md");
                page.press("feedback-good").await;
                page.see_text("feedback-said", "kept with the answer").await;
                page.press("feedback-bad").await;
                page.enter("feedback-note", "It lacks the postage.").await;
                page.press("feedback-send").await;
                page.see_text("feedback-said", "Your note is kept").await;
                page.client.refresh().await.unwrap();
                page.see("[data-testid=feedback-bad][aria-pressed=true]").await;
            })
            .await;
        let feedback = app.get("/api/questions").await.json()["questions"][0]["feedback"].clone();
        assert_eq!((&feedback["rating"], &feedback["note"]), (&json!("bad"), &json!("It lacks the postage.")));
    }
}

#[tokio::test]
async fn statements_without_a_source_and_changed_documents_are_told() {
    for width in WIDTHS {
        let fake = FakeLlm::start().await;
        let answer = "Goods can be returned within 30 days [1]. Postage is always free.";
        fake.when().model("gpt-4.1").always(Answer::text(answer));
        let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
        let id = app.add("Returns", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("complete").await;
                page.press("uncited").await;
                page.see_text("uncited", "Postage is always free.").await;
                app.delete(&format!("/api/documents/{id}")).await;
                page.client.refresh().await.unwrap();
                page.see_text("note-stale", "Returns").await;
            })
            .await;
        Visitor { provokes: Some("404"), ..Visitor::default() }
            .visit(&format!("{}/#/activity", app.url), async |page| {
                page.press("question-open").await;
                page.press("citation").await;
                page.see_text("viewer", "This document has been deleted. The quote was:").await;
                page.see_text("viewer", "Goods can be returned within 30 days.").await;
            })
            .await;
    }
}
