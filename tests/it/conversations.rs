//! Follow-up questions: understood from the conversation, and asked as they are where that fails.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models::{ANALYSIS, SYNTHESIS, analysis, app, calls};

const FEE: &str = "水道料金は2024年に値上げされました。";
const REWRITE: &str = "You make the last question";

async fn town(fake: &FakeLlm, flags: &[&str]) -> TestApp {
    let app = app(fake, flags).await;
    app.add("水道料金", FEE).await;
    app.add("ごみの収集", "ごみの収集は月曜日です。").await;
    app
}

/// Takes every follow-up for one question, and finds its answer.
async fn talkative_town(fake: &FakeLlm) -> TestApp {
    fake.when().prompt(REWRITE).always(Answer::text(r#"{"question": "水道料金はいつから値上げされましたか"}"#));
    fake.when().model(ANALYSIS).always(analysis(0.9, &[FEE]));
    fake.when().model(SYNTHESIS).always(Answer::text("2024年です[1]。"));
    town(fake, &[]).await
}

async fn ask(app: &TestApp, question: &str) -> Value {
    app.ask_with(&json!({"question": question, "conversation_id": "c1"})).await
}

fn rewrites(fake: &FakeLlm) -> usize {
    fake.bodies().iter().filter(|body| body["messages"][0]["content"].as_str().unwrap().starts_with(REWRITE)).count()
}

#[tokio::test]
async fn a_chat_that_its_frontend_keeps_is_understood_as_well() {
    let fake = FakeLlm::start().await;
    let app = talkative_town(&fake).await;
    let messages = json!([
        {"role": "user", "content": "水道料金はどうなりましたか"},
        {"role": "assistant", "content": "値上げされました。"},
        {"role": "user", "content": "それはいつから？"},
    ]);
    let reply = app.post("/v1/chat/completions", &json!({"model": "dokkai", "messages": messages})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let asked = app.get("/api/questions?limit=1").await.json()["questions"][0].clone();
    assert_eq!((rewrites(&fake), asked["question"].as_str()), (1, Some("それはいつから？")));
    assert_eq!(asked["standalone_question"], "水道料金はいつから値上げされましたか");
    let rewrite = fake.bodies().into_iter().find(|body| body.to_string().contains(REWRITE)).unwrap();
    assert!(rewrite.to_string().contains("水道料金はどうなりましたか"), "{rewrite}");
}

#[tokio::test]
async fn a_follow_up_is_made_to_stand_alone_and_the_record_shows_it() {
    let fake = FakeLlm::start().await;
    let app = talkative_town(&fake).await;
    let first = ask(&app, "水道料金はどうなりましたか").await;
    assert_eq!((rewrites(&fake), &first["standalone_question"]), (0, &Value::Null), "the first is asked as it is");

    let second = ask(&app, "それはいつから？").await;
    assert_eq!(rewrites(&fake), 1);
    assert_eq!(second["standalone_question"], "水道料金はいつから値上げされましたか");
    assert_eq!(second["question"], "それはいつから？");
    assert_eq!(second["analyses"][0]["title"], "水道料金", "documents are searched for what is meant");
    // One rewriting, one or two analyses, one answer.
    let analyses = second["analyses"].as_array().unwrap().len();
    assert_eq!(second["usage"]["upstream_calls"], analyses + 2);
    let bodies = fake.bodies();
    let written = bodies.last().unwrap()["messages"][1]["content"].as_str().unwrap();
    for part in ["水道料金はいつから値上げされましたか", "それはいつから？", "<conversation>", "2024年です‹1›。"]
    {
        assert!(written.contains(part), "no {part} in {written}");
    }

    // Another conversation begins anew, and one may list its own.
    let other = json!({"question": "それはいつから？", "conversation_id": "c2"});
    assert_eq!(app.ask_with(&other).await["standalone_question"], Value::Null);
    let listed = app.get("/api/questions?conversation_id=c1").await.json();
    let ids: Vec<&Value> = listed["questions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!((ids, &listed["total"]), (vec![&second["id"], &first["id"]], &json!(2)));
}

#[tokio::test]
async fn a_replay_stays_in_its_conversation_and_is_asked_after_the_same_turns() {
    let fake = FakeLlm::start().await;
    let app = talkative_town(&fake).await;
    let written = || fake.bodies().into_iter().rfind(|body| body["model"] == SYNTHESIS).unwrap()["messages"].take();
    let first = ask(&app, "水道料金はどうなりましたか").await;
    let second = ask(&app, "それはいつから？").await;
    let asked = written();
    let third = ask(&app, "ごみはいつですか").await;
    let mut replayed = second.clone();
    for _ in 0..4 {
        let path = format!("/api/questions/{}/replay", replayed["id"].as_str().unwrap());
        replayed = app.post(&path, &json!({})).await.json()["replay"].take();
        assert_eq!((&replayed["replay_of"], &replayed["conversation_id"]), (&second["id"], &json!("c1")));
        assert_eq!(replayed["standalone_question"], second["standalone_question"]);
        assert_eq!(written(), asked, "neither later questions nor replays are told");
    }
    let fourth = ask(&app, "もう一度、それはいつから？").await;
    let told = written()[1]["content"].take();
    let (turns, _) = told.as_str().unwrap().split_once("</conversation>").unwrap();
    assert_eq!(turns.matches("Asked: ").count(), 3, "replays are no turns: {told}");
    let listed = app.get("/api/questions?conversation_id=c1").await.json();
    let newest_first: Vec<&Value> = listed["questions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!((newest_first[0], newest_first[1]), (&fourth["id"], &replayed["id"]));
    assert_eq!((&newest_first[5..], &listed["total"]), (&[&third["id"], &second["id"], &first["id"]][..], &json!(8)));

    let alone = ask(&app, "水道料金はいつから値上げされましたか").await;
    assert_eq!(alone["standalone_question"], Value::Null, "it is understood as it is asked");
    let before = rewrites(&fake);
    let path = format!("/api/questions/{}/replay", alone["id"].as_str().unwrap());
    let replayed = app.post(&path, &json!({})).await.json()["replay"].take();
    assert_eq!((rewrites(&fake), &replayed["standalone_question"]), (before, &Value::Null));
}

#[tokio::test]
async fn a_rewriting_that_fails_leaves_the_question_as_it_was_asked() {
    let replies = [
        Answer::status(400, &[], "{}"),
        Answer::text("I am sorry,\nI cannot."),
        Answer::text(r#"{"question": ""}"#),
        Answer::silence(),
    ];
    for reply in replies {
        let fake = FakeLlm::start().await;
        let app = town(&fake, &["--answer-deadline-ms", "3000"]).await;
        fake.when().prompt(REWRITE).always(reply);
        fake.when().model(ANALYSIS).always(analysis(0.9, &[FEE]));
        fake.when().model(SYNTHESIS).always(Answer::text("2024年です[1]。"));
        ask(&app, "水道料金はどうなりましたか").await;
        let second = ask(&app, "水道料金はいつから？").await;
        assert_eq!((&second["standalone_question"], &second["status"]), (&Value::Null, &json!("complete")), "{second}");
        assert_eq!(rewrites(&fake), 1, "one call, whatever it says");
    }
}

#[tokio::test]
async fn a_conversation_without_a_model_goes_on_word_for_word() {
    let app = TestApp::start().await;
    app.add("水道料金", FEE).await;
    ask(&app, "水道料金の値上げ").await;
    let second = ask(&app, "水道料金の値上げはいつ").await;
    assert_eq!((&second["standalone_question"], &second["mode"]), (&Value::Null, &json!("extractive")));
}

#[tokio::test]
async fn a_long_history_is_bounded() {
    let fake = FakeLlm::start().await;
    let app = town(&fake, &[]).await;
    fake.when().prompt(REWRITE).always(Answer::text(r#"{"question": "水道料金は？"}"#));
    fake.when().model(ANALYSIS).always(analysis(0.9, &[FEE]));
    fake.when().model(SYNTHESIS).always(Answer::text(format!("{}[1]", "長い答え。".repeat(1_000))));
    for n in 0..4 {
        ask(&app, &format!("水道料金の質問その{n}")).await;
    }
    let asked: Vec<usize> = fake
        .bodies()
        .iter()
        .filter(|body| body["messages"][0]["content"].as_str().unwrap().starts_with(REWRITE))
        .map(|body| body["messages"][1]["content"].as_str().unwrap().chars().count())
        .collect();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|chars| *chars < 2_500), "{asked:?}");
    assert!(calls(&fake, SYNTHESIS) == 4);
}
