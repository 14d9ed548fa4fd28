//! Questions that are asked, followed or taken up again: shared, retried, replayed, resumed.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models::{ANALYSIS, SYNTHESIS, add_many, analysis, app, branches, calls, flags};
use crate::support::process::Process;

const OPENS: &str = "opens at nine o'clock";

fn path(record: &Value, rest: &str) -> String {
    format!("/api/questions/{}{rest}", record["id"].as_str().unwrap())
}

fn statuses(record: &Value) -> Vec<&str> {
    record["analyses"].as_array().unwrap().iter().map(|analysis| analysis["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_same_question_at_the_same_time_is_answered_once() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 3).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]).after(200));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    let same = json!({"question": "When does the branch open?"});
    let other = json!({"question": "When does the branch open?", "top_k": 2});
    let (first, second, third) = tokio::join!(app.ask_with(&same), app.ask_with(&same), app.ask_with(&other));
    assert_eq!(first, second, "both get the one record");
    assert_ne!(first["id"], third["id"], "another top_k is another question");
    assert_eq!(calls(&fake, SYNTHESIS), 2);
    assert_eq!(app.get("/api/questions").await.json()["total"], 2);
    // Later it is asked anew, from the cache.
    let later = app.ask_with(&same).await;
    assert_ne!(later["id"], first["id"]);
    assert_eq!((calls(&fake, SYNTHESIS), &later["usage"]["upstream_calls"]), (3, &json!(1)));
    let figures = app.get("/metrics").await.body;
    for figure in ["dokkai_analysis_cache_total{outcome=\"hit\"}", "dokkai_questions_shared_total"] {
        assert!(figures.contains(figure), "no {figure}");
    }
}

/// Waits until so many requests have come to a model.
async fn until_called(fake: &FakeLlm, model: &str, count: usize) {
    let called = async {
        while calls(fake, model) < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), called).await.expect("the model is called");
}

#[tokio::test]
async fn a_stopped_question_makes_no_further_call_and_a_retry_goes_on_from_what_was_read() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 2).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).then([Answer::silence(), Answer::text("Both say nine [1].")]);
    let asked = json!({"question": "When does the branch open?"});
    let (record, stopped) = tokio::join!(app.ask_with(&asked), async {
        until_called(&fake, SYNTHESIS, 1).await;
        let running = app.get("/api/questions").await.json()["questions"][0].clone();
        app.post(&path(&running, "/stop"), &json!({})).await.json()
    });
    assert_eq!(record, stopped, "who asked and who stopped it get the same record");
    assert_eq!((&record["status"], &record["error"]["code"]), (&json!("failed"), &json!("stopped")));
    assert_eq!(statuses(&record), ["ok", "ok"], "what was read is kept");
    fake.until_idle().await;
    assert_eq!(app.post(&path(&record, "/stop"), &json!({})).await.json(), record, "it stays as it is");

    let again = app.post(&path(&record, "/retry"), &json!({})).await.json();
    assert_eq!(again["status"], "complete", "{again}");
    assert_eq!((calls(&fake, ANALYSIS), calls(&fake, SYNTHESIS)), (2, 2));
    let unknown = "/api/questions/00000000-0000-0000-0000-000000000000/stop";
    assert_eq!(app.post(unknown, &json!({})).await.code(), "question_not_found");
}

#[tokio::test]
async fn a_question_that_is_stopped_while_documents_are_read_keeps_those_that_were() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 2).await;
    fake.when().prompt("Branch 1 opens").model(ANALYSIS).then([Answer::silence()]);
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("Both say nine [1]."));
    let asked = json!({"question": "When does the branch open?"});
    let (record, ()) = tokio::join!(app.ask_with(&asked), async {
        until_called(&fake, ANALYSIS, 2).await;
        let one_is_kept = async || {
            let running = app.get("/api/questions").await.json()["questions"][0].clone();
            let now = app.get(&path(&running, "")).await.json();
            if now["analyses"].as_array().unwrap().is_empty() {
                return false;
            }
            app.post(&path(&running, "/stop"), &json!({})).await;
            true
        };
        while !one_is_kept().await {}
    });
    assert_eq!((&record["error"]["code"], statuses(&record)), (&json!("stopped"), vec!["ok"]));
    assert_eq!(record["usage"]["upstream_calls"], 1, "what it cost is told");
    let again = app.post(&path(&record, "/retry"), &json!({})).await.json();
    assert_eq!((&again["status"], calls(&fake, ANALYSIS)), (&json!("complete"), 3), "one is read again, one is not");
    assert_eq!(statuses(&again), ["ok", "ok"]);
}

#[tokio::test]
async fn while_questions_cannot_be_stored_no_call_is_made_for_them() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 3).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    let mut database = app.database().await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON questions BEGIN SELECT RAISE(ABORT, 'no room'); END";
    sqlx::query(refuse).execute(&mut database).await.unwrap();
    let question = json!({"question": "When does the branch open?"});
    let refused = async || {
        let refused = app.post("/api/questions", &question).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"));
        app.context().live.idle().await;
        fake.until_idle().await;
        (calls(&fake, ANALYSIS), calls(&fake, SYNTHESIS))
    };
    // The first of them may have begun its calls, which are broken off; those after it begin none.
    let first = refused().await;
    assert!(first.0 <= 3 && first.1 == 0, "{first:?}");
    assert_eq!((refused().await, refused().await), (first, first));

    sqlx::query("DROP TRIGGER refuse").execute(&mut database).await.unwrap();
    assert_eq!(app.ask_with(&question).await["status"], "complete");
    assert_eq!((calls(&fake, ANALYSIS), calls(&fake, SYNTHESIS)), (first.0 + 3, 1));
}

#[tokio::test]
async fn calls_begin_while_the_question_is_being_stored() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 3).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    let mut database = app.database().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await.unwrap();
    let question = json!({"question": "When does the branch open?"});
    let meanwhile = async {
        while calls(&fake, ANALYSIS) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let stored = sqlx::query("SELECT id FROM questions").fetch_all(&mut database).await.unwrap();
        assert!(stored.is_empty(), "it waits for its turn to be stored");
        sqlx::query("ROLLBACK").execute(&mut database).await.unwrap();
    };
    let (record, ()) = tokio::join!(app.ask_with(&question), meanwhile);
    assert_eq!((&record["status"], calls(&fake, SYNTHESIS)), (&json!("complete"), 1));
    assert_eq!(app.get(&path(&record, "")).await.json()["status"], "complete");
}

#[tokio::test]
async fn a_retried_answer_is_not_stale_by_what_changed_before_it() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    let first = app.add("First", "Branch 0 opens at nine o'clock.").await;
    app.add("Second", "Branch 1 opens at nine o'clock too.").await;
    fake.when().prompt("Branch 1 opens").model(ANALYSIS).then([Answer::status(400, &[], "{}")]);
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    let record = app.ask_with(&json!({"question": "When does the branch open?"})).await;
    assert_eq!((&record["status"], &record["citations"][0]["document_id"]), (&json!("partial"), &json!(first)));

    let body = json!({"text": "Since May, Branch 0 opens at nine o'clock."});
    app.send(app.request(Method::PUT, &format!("/api/documents/{first}")).json(&body)).await;
    let text = async || app.get(&format!("/api/documents/{first}/text")).await.body;
    app.until(async || text().await.contains("Since May")).await;
    assert_eq!(app.get(&path(&record, "")).await.json()["stale_documents"], json!([first]));

    app.post(&path(&record, "/retry"), &json!({})).await;
    let again = app.get(&path(&record, "")).await.json();
    assert_eq!((&again["status"], &again["stale"]), (&json!("complete"), &json!(false)), "{again}");
    assert_eq!(again["citations"][0]["document_id"], json!(first));
}

#[tokio::test]
async fn a_retry_makes_only_what_failed_and_writes_the_answer_anew() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 4).await;
    let broken = [Answer::status(400, &[], "{}"), analysis(0.9, &[OPENS])];
    fake.when().prompt("Branch 1 opens").model(ANALYSIS).then(broken);
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).then([Answer::text("Three say nine [1]."), Answer::text("All four say nine [1].")]);
    let record = app.ask_with(&json!({"question": "When does the branch open?"})).await;
    assert_eq!((&record["status"], &record["coverage"]["failed"]), (&json!("partial"), &json!(1)));
    assert_eq!(calls(&fake, ANALYSIS), 4);

    let again = app.post(&path(&record, "/retry"), &json!({})).await.json();
    assert_eq!((&again["id"], &again["status"]), (&record["id"], &json!("complete")), "{again}");
    assert_eq!(again["answer"], "All four say nine [1].");
    assert_eq!(statuses(&again), ["ok"; 4]);
    assert_eq!((calls(&fake, ANALYSIS), calls(&fake, SYNTHESIS)), (5, 2));
    // All that was ever paid for it.
    assert_eq!(again["usage"]["upstream_calls"], 7);
    assert_eq!(app.get(&path(&record, "")).await.json(), again);
    let detail = app.get(&path(&record, "?detail=full")).await.json();
    assert!(detail["detail"]["analyses"].as_array().unwrap().iter().all(|one| one["replies"][0].is_string()));

    let refused = app.post(&path(&record, "/retry"), &json!({})).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "nothing_to_retry"));
    let unknown = app.post("/api/questions/00000000-0000-0000-0000-000000000000/retry", &json!({})).await;
    assert_eq!(unknown.code(), "question_not_found");
}

#[tokio::test]
async fn an_answer_that_had_to_do_without_its_model_can_be_retried() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 2).await;
    fake.when().model(ANALYSIS).then([Answer::status(401, &[], "{}"), Answer::status(401, &[], "{}")]);
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    let record = app.ask("When does branch 0 open?").await;
    assert_eq!(
        (&record["mode"], &record["mode_reason"]["code"]),
        (&json!("extractive"), &json!("upstream_unauthorized"))
    );
    let request = app.request(Method::POST, &path(&record, "/retry")).header(ACCEPT, "text/event-stream");
    let events = app.send(request).await.events();
    let last = events.last().unwrap();
    assert_eq!((&last.data["mode"], &last.data["answer"]), (&json!("model"), &json!("At nine [1].")));
    // Who has seen the first run's events gets the second's from their beginning.
    assert!(events[0].id.starts_with("1-"), "{}", events[0].id);
    let request = app.request(Method::GET, &path(&record, "/events")).header("last-event-id", "0-2-3-5");
    let names: Vec<String> = app.send(request).await.events().into_iter().map(|event| event.name).collect();
    assert_eq!(names.first().map(String::as_str), Some("accepted"));
}

#[tokio::test]
async fn a_running_question_is_neither_retried_nor_replayed() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 1).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]).after(500));
    let request = app.request(Method::POST, "/api/questions").header(ACCEPT, "text/event-stream");
    let mut stream = request.json(&json!({"question": "When does branch 0 open?"})).send().await.unwrap();
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let id = first.split('"').nth(3).unwrap().to_owned();
    for route in ["retry", "replay"] {
        let refused = app.post(&format!("/api/questions/{id}/{route}"), &json!({})).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "question_running"), "{route}");
    }
}

#[tokio::test]
async fn a_replay_reads_the_same_documents_with_other_models_and_shows_both() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    add_many(&app, 2).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model("other-reader").always(analysis(0.5, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    fake.when().model("other-writer").always(Answer::text("Nine, it seems [2]."));
    let record = app.ask_with(&json!({"question": "When does the branch open?", "top_k": 2})).await;
    // A document that would be found now was not read then.
    app.add("Branch 9", "The branch opens at eleven o'clock. When does the branch open? At eleven.").await;
    let models = json!({"analysis_model": "other-reader", "synthesis_model": "other-writer"});
    let both = app.post(&path(&record, "/replay"), &models).await.json();
    assert_eq!(both["original"], record);
    let replay = &both["replay"];
    assert_eq!((&replay["replay_of"], &replay["answer"]), (&record["id"], &json!("Nine, it seems [2].")));
    assert_ne!(replay["id"], record["id"]);
    assert_eq!(replay["models"], json!({"analysis": ["other-reader"], "synthesis": "other-writer"}));
    let read = |record: &Value| {
        let analyses = record["analyses"].as_array().unwrap().iter();
        analyses.map(|one| (one["document_id"].clone(), one["content_hash"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(read(replay), read(&record));
    // Only one other model: the analyses are there already.
    let before = calls(&fake, ANALYSIS);
    let both = app.post(&path(&record, "/replay"), &json!({"synthesis_model": "other-writer"})).await.json();
    assert_eq!((calls(&fake, ANALYSIS), &both["replay"]["analyses"][0]["cached"]), (before, &json!(true)));
    // Without a body everything stays as it was, and so does a replay of a replay.
    let bare = app.send(app.request(Method::POST, &path(replay, "/replay"))).await;
    assert_eq!(bare.json()["replay"]["models"], replay["models"], "{}", bare.body);
    let odd = app.send(app.request(Method::POST, &path(&record, "/replay")).body("{")).await;
    assert_eq!((odd.status, odd.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"));
    let empty = app.post(&path(&record, "/replay"), &json!({"analysis_model": " "})).await;
    assert_eq!(empty.code(), "invalid_parameter");
}

#[tokio::test]
async fn what_a_reader_thinks_of_an_answer_is_kept_with_it() {
    let app = TestApp::start().await;
    app.add("Manual", "The reset button is behind the battery.").await;
    let record = app.ask("Where is the reset button?").await;
    assert_eq!(record["feedback"], Value::Null);
    let given = app.post(&path(&record, "/feedback"), &json!({"rating": "bad", "note": "wrong page"})).await;
    assert_eq!((given.status, &given.json()["rating"]), (StatusCode::OK, &json!("bad")));
    app.post(&path(&record, "/feedback"), &json!({"rating": "good"})).await;
    let shown = app.get(&path(&record, "")).await.json();
    assert_eq!((&shown["feedback"]["rating"], &shown["feedback"]["note"]), (&json!("good"), &Value::Null));
    assert_eq!(app.get("/api/questions").await.json()["questions"][0]["feedback"], shown["feedback"]);
    let odd = app.post(&path(&record, "/feedback"), &json!({"rating": "so-so"})).await;
    assert_eq!((odd.status, odd.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"));
}

/// A client of a server that is killed.
struct Client(reqwest::Client);

impl Client {
    async fn get(&self, url: &str) -> Value {
        self.0.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Asks, and follows the events until so many analyses are in. The question's id, and the last event's.
    async fn ask_until(&self, url: &str, question: &Value, analyses: usize) -> (String, String) {
        let request = self.0.post(format!("{url}/api/questions")).header(ACCEPT, "text/event-stream").json(question);
        let mut stream = request.send().await.unwrap();
        let mut seen = String::new();
        while seen.matches("event: analysis").count() < analyses || !seen.ends_with("\n\n") {
            seen.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
        let last = seen.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        (seen.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned(), last)
    }
}

#[tokio::test]
async fn a_server_killed_in_mid_answer_finishes_it_after_the_restart_and_pays_for_no_analysis_twice() {
    let fake = FakeLlm::start().await;
    let flags = flags(&fake);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client(reqwest::Client::builder().no_proxy().build().unwrap());
    let server = Process::serve(folder.path(), &flags);
    let added =
        client.0.post(format!("{}/api/documents?wait=true", server.url)).json(&branches(5)).send().await.unwrap();
    assert_eq!(added.status(), StatusCode::OK);

    // Three analyses come at once, two hang: the kill comes after exactly three.
    for hanging in ["Branch 3 opens", "Branch 4 opens"] {
        fake.when().prompt(hanging).model(ANALYSIS).then([Answer::silence()]);
    }
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::text("All say nine [1]."));
    let question = json!({"question": "When does the branch open?"});
    let (id, last) = client.ask_until(&server.url, &question, 3).await;
    assert_eq!(calls(&fake, ANALYSIS), 5);
    server.kill();

    let server = Process::serve(folder.path(), &flags);
    let events = format!("{}/api/questions/{id}/events", server.url);
    let rest = client.0.get(events).header("last-event-id", last).send().await.unwrap().text().await.unwrap();
    assert!(rest.contains("event: done"), "{rest}");
    let record = client.get(&format!("{}/api/questions/{id}", server.url)).await;
    assert_eq!((&record["status"], &record["answer"]), (&json!("complete"), &json!("All say nine [1].")), "{record}");
    assert_eq!(statuses(&record), ["ok"; 5]);
    assert_eq!(calls(&fake, ANALYSIS), 7, "only the two missing analyses are made");
    assert_eq!(calls(&fake, SYNTHESIS), 1);
    // The three that were kept are in the sum as they were paid, beside two more and the answer.
    assert_eq!((&record["usage"]["upstream_calls"], &record["run"]), (&json!(6), &json!(1)));
    assert!(record["analyses"].as_array().unwrap().iter().all(|one| one["cached"] == false));
    assert_eq!(server.terminate().code(), Some(0));
}

#[tokio::test]
async fn events_of_a_finished_question_are_there_after_a_restart_from_any_point() {
    let fake = FakeLlm::start().await;
    let mut app = app(&fake, &[]).await;
    add_many(&app, 3).await;
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).always(Answer::tokens(&["They open ", "at nine ", "[1]."]));
    let events = app.ask_events(&json!({"question": "When does the branch open?"})).await;
    let id = events[0].data["id"].as_str().unwrap().to_owned();
    app.restart().await;
    let text = |events: &[crate::support::app::SseEvent]| -> String {
        events.iter().filter(|e| e.name == "delta").map(|e| e.data["text"].as_str().unwrap()).collect()
    };
    for (place, event) in events.iter().enumerate() {
        let request = app.request(Method::GET, &format!("/api/questions/{id}/events"));
        let rest = app.send(request.header("last-event-id", &event.id)).await.events();
        assert_eq!(text(&rest), text(&events[place + 1..]), "after {}", event.id);
        let analyses =
            |events: &[crate::support::app::SseEvent]| events.iter().filter(|e| e.name == "analysis").count();
        assert_eq!(analyses(&rest), analyses(&events[place + 1..]), "after {}", event.id);
        assert_eq!(rest.last().map(|e| e.name.as_str()), Some("done"));
    }
}

#[tokio::test]
async fn a_question_that_hangs_while_the_server_stops_is_finished_by_the_next() {
    let fake = FakeLlm::start().await;
    let flags = flags(&fake);
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--answer-deadline-ms", "30000"]);
    let folder = tempfile::tempdir().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap());
    let server = Process::serve(folder.path(), &flags);
    let add = client.0.post(format!("{}/api/documents?wait=true", server.url)).json(&branches(1));
    assert_eq!(add.send().await.unwrap().status(), StatusCode::OK);
    fake.when().model(ANALYSIS).always(analysis(0.9, &[OPENS]));
    fake.when().model(SYNTHESIS).then([Answer::silence()]);
    fake.when().model(SYNTHESIS).always(Answer::text("At nine [1]."));
    let question = json!({"question": "When does branch 0 open?"});
    let (id, _) = client.ask_until(&server.url, &question, 1).await;
    server.kill();
    let server = Process::serve(folder.path(), &flags);
    let events = format!("{}/api/questions/{id}/events", server.url);
    let followed = client.0.get(events).send().await.unwrap().text().await.unwrap();
    assert!(followed.contains("At nine [1]."), "{followed}");
    assert_eq!(calls(&fake, ANALYSIS), 1, "the analysis is kept");
    server.kill();
}
