//! Conversations: follow-ups, what they were taken to ask, and finding back to them.

use serde_json::{Value, json};

use super::REFUND;
use super::app::TestApp;
use super::chromium::{Visitor, WIDTHS, named};
use super::fake_llm::{Answer, FakeLlm};

const REWRITE: &str = "You make the last question";
const MEANT: &str = "Who pays for the parcel when goods are returned?";

#[tokio::test]
async fn a_follow_up_shows_what_it_was_taken_to_ask_and_the_conversation_is_kept() {
    let fake = FakeLlm::start().await;
    fake.when().prompt(REWRITE).always(Answer::text(json!({"question": MEANT}).to_string()));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    app.add("Returns", REFUND).await;
    for width in WIDTHS {
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("complete").await;
                page.ask("And who pays?").await;
                page.see_text("understood", MEANT).await;
                page.see_record("complete").await;
                page.count(&named("record"), 2).await;
                let top = "document.querySelector('[data-testid=record]:last-child').getBoundingClientRect().top";
                page.until(&format!("Math.abs({top}) < 120")).await;
                page.see(&named("export")).await;

                page.client.refresh().await.unwrap();
                page.count(&named("record"), 2).await;
                page.see_text("understood", MEANT).await;

                page.press("new-conversation").await;
                page.count(&named("record"), 0).await;
                page.see(&named("recent")).await;
                page.client.back().await.unwrap();
                page.count(&named("record"), 2).await;
            })
            .await;
    }
    let questions = app.get("/api/questions").await.json()["questions"].clone();
    let ids: Vec<&Value> = questions.as_array().unwrap().iter().map(|one| &one["conversation_id"]).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[2] == ids[3], "each visit is one conversation: {ids:?}");
}

#[tokio::test]
async fn a_conversation_is_exported_whole() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        app.add("Returns", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.catch_saved().await;
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("complete").await;
                page.ask("Who pays for the parcel?").await;
                page.see_record("complete").await;
                page.press("export").await;
                page.until("window.saved").await;
                let saved = page.value("window.saved").await.as_str().unwrap().to_owned();
                let first = saved.find("# Within how many days").unwrap();
                let second = saved.find("# Who pays for the parcel?").unwrap();
                assert!(first < second, "oldest first: {saved}");
            })
            .await;
    }
}
