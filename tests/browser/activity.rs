//! Activity: past questions, what they cost, how the server is.

use super::REFUND;
use super::app::TestApp;
use super::chromium::{Visitor, WIDTHS, named};
use super::fake_llm::{Answer, FakeLlm};

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
async fn past_questions_are_found_and_deleted_with_a_way_back() {
    let app = TestApp::start().await;
    app.add("Returns", REFUND).await;
    app.ask("Within how many days can goods be returned?").await;
    app.ask("Who pays for the parcel?").await;
    for width in WIDTHS {
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/activity", app.url), async |page| {
                page.count(&named("question-row"), 2).await;
                page.enter("question-search", "parcel").await;
                page.count(&named("question-row"), 1).await;
                page.press("question-delete").await;
                page.count(&named("question-row"), 0).await;
                page.see(&named("no-questions")).await;
                page.press("undo").await;
                page.count(&named("question-row"), 1).await;
                page.count(&named("no-questions"), 0).await;
                page.enter("question-search", " lizard").await;
                page.see_text("no-questions", "No question holds these words").await;
            })
            .await;
    }
    assert_eq!(app.get("/api/questions").await.json()["total"], 2);
    Visitor::default()
        .visit(&format!("{}/#/activity", app.url), async |page| {
            page.press("question-delete").await;
            page.count(&named("question-row"), 1).await;
            page.press("undo-dismiss").await;
            page.client.refresh().await.unwrap();
            page.count(&named("question-row"), 1).await;
        })
        .await;
    assert_eq!(app.get("/api/questions").await.json()["total"], 1);
}

#[tokio::test]
async fn usage_is_drawn_and_told_in_a_table_and_health_names_each_model() {
    let fake = FakeLlm::start().await;
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    app.add("Returns", REFUND).await;
    Visitor::default()
        .visit(&format!("{}/#/activity", app.url), async |page| {
            page.see_text("usage-none", "No model was called").await;
            page.see_text("health", "Up to date").await;
        })
        .await;
    app.ask("Within how many days can goods be returned?").await;
    for width in WIDTHS {
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/activity", app.url), async |page| {
                page.see(&named("usage-chart")).await;
                // One day, two models: two bars.
                page.count("[data-testid=usage-chart] rect:not(.column)", 2).await;
                assert_eq!(page.text("usage-total-calls").await, "2");
                page.choose("usage-measure", "tokens").await;
                page.see("[data-testid=usage-chart][aria-label^=Tokens]").await;
                page.choose("usage-days", "7").await;
                page.count("[data-testid=usage-chart] .column", 7).await;
                page.press("usage-table").await;
                page.count("[data-testid=usage-table] tbody tr", 2).await;
                page.see_text("health", "deepseek-v3.2").await;
                page.see_text("health", "gpt-4.1").await;
                page.press("health-again").await;
                page.see_text("health", "attempt").await;
            })
            .await;
    }
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_shown_as_paused() {
    let fake = FakeLlm::start().await;
    fake.when().model("deepseek-v3.2").always(Answer::status(503, &[], "{}"));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url(), "--llm-max-attempts", "1"]).await;
    app.add("Returns", REFUND).await;
    for n in 0..12 {
        app.ask(&format!("Within how many days can goods be returned? {n}")).await;
    }
    Visitor { languages: "ja", width: 390, ..Visitor::default() }
        .visit(&format!("{}/#/activity", app.url), async |page| {
            page.see("[data-testid=health-row][data-state=bad]").await;
            page.see_text("health", "失敗が続いたため休止中").await;
        })
        .await;
}
