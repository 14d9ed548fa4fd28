//! Checking, mending, rebuilding, copying; events; replacements; stale answers; full disks and damaged files.

use std::process::{Command, Stdio};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::PROGRAM;
use crate::support::process::{Process, run, stdout};

async fn verify(app: &TestApp, repair: bool) -> Value {
    let reply = app.post("/api/verify", &json!({"repair": repair})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

#[tokio::test]
async fn a_rebuilt_index_answers_like_the_one_before_which_serves_meanwhile() {
    let mut app = TestApp::start().await;
    app.add("Manual", "The reset button is behind the battery.").await;
    let reply = app.post("/api/reindex", &json!({})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(app.find("reset button").await, ["Manual"]);
    app.add("Other", "The reset code is printed below.").await;
    app.restart().await;
    assert_eq!(app.find("reset").await.len(), 2);
    let report = verify(&app, false).await;
    assert_eq!((&report["ok"], &report["documents"]), (&json!(true), &json!(2)), "{report}");
    let folders =
        std::fs::read_dir(app.folder().join("index")).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 1, "the index before is gone");
}

#[tokio::test]
async fn searches_go_on_answering_while_the_index_is_built_anew() {
    let app = TestApp::start().await;
    let texts: Vec<Value> = (0..300)
        .map(|n| json!({"title": format!("Note {n}"), "text": format!("Note number{n} is about the battery.")}))
        .collect();
    app.post("/api/documents?wait=true", &json!({"documents": texts})).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let rebuild = async {
        for _ in 0..3 {
            assert_eq!(app.post("/api/reindex", &json!({})).await.status, StatusCode::OK);
        }
        done.store(true, std::sync::atomic::Ordering::Release);
    };
    let searches = async {
        let mut answered = 0_u32;
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let n = answered % 300;
            let found = app.find(&format!("note number{n}")).await;
            assert_eq!(found.first(), Some(&format!("Note {n}")), "after {answered} searches");
            answered += 1;
        }
        answered
    };
    let ((), answered) = tokio::join!(rebuild, searches);
    assert!(answered > 0, "no search fell into the rebuilds");
    assert_eq!(verify(&app, false).await["ok"], true);
}

#[tokio::test]
async fn a_failed_replacement_leaves_the_old_text_in_service() {
    let app = TestApp::start().await;
    let id = app.add("Prices", "The old price is ten dollars.").await;
    let path = format!("/api/documents/{id}");
    let gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let part = reqwest::multipart::Part::bytes(gif.to_vec()).file_name("p.gif");
    app.send(app.request(Method::PUT, &path).multipart(reqwest::multipart::Form::new().part("file", part))).await;
    app.until(async || app.get(&path).await.json()["status"] == "failed").await;
    let document = app.get(&path).await.json();
    assert_eq!((&document["error"]["code"], document["passages"].as_u64()), (&json!("unsupported_type"), Some(1)));
    assert!(document["warnings"][0].as_str().unwrap().contains("still searchable"), "{document}");
    assert_eq!(app.find("old price").await.len(), 1);
    assert_eq!(verify(&app, false).await["ok"], true);
}

#[tokio::test]
async fn answers_that_cite_what_is_gone_or_replaced_are_stale_and_keep_their_quotes() {
    let app = TestApp::start().await;
    let one = app.add("Battery", "The battery lasts for ten hours.").await;
    let other = app.add("Screen", "The screen is made of sapphire glass.").await;
    let first = app.ask("How long does the battery last?").await;
    let second = app.ask("What is the screen made of?").await;
    assert_eq!((&first["stale"], &second["stale"]), (&json!(false), &json!(false)));
    app.delete(&format!("/api/documents/{one}")).await;
    let body = json!({"text": "The screen is made of plastic."});
    app.send(app.request(Method::PUT, &format!("/api/documents/{other}")).json(&body)).await;
    app.post("/api/documents?wait=true", &body).await;
    for (record, id) in [(first, one), (second, other)] {
        let now = app.get(&format!("/api/questions/{}", record["id"].as_str().unwrap())).await.json();
        assert_eq!((&now["stale"], &now["stale_documents"]), (&json!(true), &json!([id])));
        assert_eq!((&now["citations"], &now["answer"]), (&record["citations"], &record["answer"]));
    }
    let list = app.get("/api/questions").await.json();
    assert!(list["questions"].as_array().unwrap().iter().all(|record| record["stale"] == true));
}

#[tokio::test]
async fn events_tell_each_state_and_go_on_where_they_stopped() {
    let app = TestApp::start().await;
    let mut events = app.request(Method::GET, "/api/documents/events").send().await.unwrap().bytes_stream();
    let mut text = String::new();
    let id = app.add("Manual", "The reset button is behind the battery.").await;
    app.delete(&format!("/api/documents/{id}")).await;
    while !text.contains("deleted") {
        text.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
    }
    let data: Vec<Value> =
        text.lines().filter_map(|l| l.strip_prefix("data: ")).map(|d| serde_json::from_str(d).unwrap()).collect();
    let seen: Vec<(&str, &str)> =
        data.iter().map(|d| (d["status"].as_str().unwrap(), d["progress"].as_str().unwrap_or("-"))).collect();
    let expected = [
        ("queued", "waiting"),
        ("processing", "extracting"),
        ("processing", "indexing"),
        ("ready", "done"),
        ("deleted", "-"),
    ];
    assert_eq!(seen, expected);
    assert!(data.iter().all(|event| event["id"] == json!(id)));

    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    for (last, first) in
        [(ids[2], "data: {\"id\":\"".to_owned() + &id + "\",\"status\":\"ready\""), ("0-1", "event: missed".to_owned())]
    {
        let request = app.request(Method::GET, "/api/documents/events").header("Last-Event-ID", last);
        let mut events = request.send().await.unwrap().bytes_stream();
        let mut text = String::new();
        while !text.contains("data: ") {
            text.push_str(std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap());
        }
        assert!(text.contains(&first), "{text}");
    }
}

#[tokio::test]
async fn a_large_original_comes_and_goes_in_parts() {
    let app = TestApp::start().await;
    // Nothing to read in it, so that the way in and out is all that it takes.
    let mut large = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00".to_vec();
    large.resize_with(9_000_000, || fastrand::u8(..));
    let documents = app.upload(&[("large.gif", &large)]).await;
    assert_eq!(documents[0]["error"]["code"], "unsupported_type", "{documents:?}");
    let path = format!("/api/documents/{}/original", documents[0]["id"].as_str().unwrap());
    let original = app.request(Method::GET, &path).send().await.unwrap().bytes().await.unwrap();
    assert!(original == large, "{} bytes of {}", original.len(), large.len());
    assert_eq!(app.upload(&[("again.gif", &large)]).await[0]["duplicate"], true);
    assert_eq!(verify(&app, false).await["ok"], true);
    let left: Vec<_> = std::fs::read_dir(app.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().starts_with("dokkai.") || name == "index"), "{left:?}");
}

#[test]
fn a_backup_of_a_live_server_alone_restores_everything() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "The battery lasts for ten hours.").unwrap();
    let server = Process::serve(folder.path(), &[]);
    assert_eq!(run(folder.path(), &["ingest", "a.txt"]).status.code(), Some(0));
    let file = folder.path().join("copy.sqlite");
    let backup = |flags: &[&str]| run(folder.path(), &[&["backup", file.to_str().unwrap()], flags].concat());
    let first = backup(&[]);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(backup(&[]).status.code(), Some(1), "an existing file is left alone");
    assert_eq!(backup(&["--force"]).status.code(), Some(0));
    drop(server);
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(&file, restored.path().join("dokkai.sqlite")).unwrap();
    assert!(stdout(&run(restored.path(), &["ask", "How long does the battery last?"])).contains("ten hours"));
    assert!(stdout(&run(restored.path(), &["search", "battery"])).contains("a.txt"));
    assert_eq!(run(restored.path(), &["verify"]).status.code(), Some(0));
}

#[test]
fn sync_makes_the_collection_hold_what_the_folder_holds() {
    let data = tempfile::tempdir().unwrap();
    let docs = data.path().join("docs");
    std::fs::create_dir(&docs).unwrap();
    let write = |name: &str, text: &str| std::fs::write(docs.join(name), text).unwrap();
    let _server = Process::serve(data.path(), &[]);
    let sync = |flags: &[&str]| {
        let output = run(data.path(), &[&["ingest", "--sync", docs.to_str().unwrap(), "--json"], flags].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |field: &str| done["plan"][field].as_array().unwrap().len();
        (count("new"), count("changed"), count("moved"), count("gone"), done["plan"]["unchanged"].as_u64().unwrap())
    };
    write("a.txt", "alpha one");
    write("b.txt", "beta one");
    write("c.txt", "gamma one");
    assert_eq!(sync(&["--dry-run"]), (3, 0, 0, 0, 0));
    assert_eq!(sync(&[]), (3, 0, 0, 0, 0));
    assert_eq!(sync(&[]), (0, 0, 0, 0, 3));
    write("a.txt", "alpha two");
    std::fs::rename(docs.join("b.txt"), docs.join("d.txt")).unwrap();
    std::fs::remove_file(docs.join("c.txt")).unwrap();
    assert_eq!(sync(&[]), (0, 1, 1, 1, 1));
    assert_eq!(sync(&[]), (0, 0, 0, 0, 2));
    let found = |query: &str| stdout(&run(data.path(), &["search", query]));
    assert!(found("two").contains("a.txt") && found("beta").contains("b.txt") && !found("gamma").contains("c.txt"));
}

/// A server whose files may not grow beyond some KiB: what a full disk does, for anybody.
fn cramped(folder: &std::path::Path, kib: u32) -> std::process::Child {
    let script = format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$0\" --listen 127.0.0.1:0");
    let mut command = Command::new("bash");
    command.args(["-c", &script, PROGRAM]).env_clear().env("DOKKAI_DATA_DIR", folder).current_dir(folder);
    command.stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn without_room_uploads_are_refused_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = cramped(folder.path(), 3 * 1024);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = loop {
        match dokkai::server::holder(folder.path()) {
            Some(url) if http.get(format!("{url}/healthz")).send().await.is_ok() => break url,
            _ => assert!(child.try_wait().unwrap().is_none(), "the server ended at once"),
        }
    };
    let mut acknowledged = Vec::new();
    let refusal = loop {
        let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(100_000).collect();
        let reply = http.post(format!("{url}/api/documents")).json(&json!({"text": text})).send().await.unwrap();
        let (status, body) = (reply.status(), reply.json::<Value>().await.unwrap());
        if !status.is_success() {
            break body;
        }
        acknowledged.push((body["documents"][0]["id"].as_str().unwrap().to_owned(), text));
        assert!(acknowledged.len() < 100, "there should be no room for so much");
    };
    let code = refusal["error"]["code"].as_str().unwrap();
    assert!(["storage_full", "store_unavailable"].contains(&code), "{refusal}");
    assert!(child.try_wait().unwrap().is_none(), "the server goes on");

    // Once there is room again, the same server takes up what it could not finish, and takes in more.
    let room = rustix::process::Rlimit { current: None, maximum: None };
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, room).unwrap();
    let texts = acknowledged.iter().map(|(_, text)| text.as_str()).chain(["room again"]);
    for text in texts {
        let request = http.post(format!("{url}/api/documents?wait=true")).json(&json!({"text": text}));
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(body["documents"][0]["status"], "ready", "{body}");
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let server = Process::serve(folder.path(), &[]);
    for (id, text) in &acknowledged {
        let original = http.get(format!("{}/api/documents/{id}/original", server.url)).send().await.unwrap();
        assert_eq!(original.text().await.unwrap(), *text);
    }
    assert!(!acknowledged.is_empty());
    assert_eq!(run(folder.path(), &["verify"]).status.code(), Some(0));
}

#[test]
fn a_damaged_database_is_found_and_what_cannot_be_mended_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = "needle in a long text that fills several pages. ".repeat(2_000);
    std::fs::write(folder.path().join("a.txt"), &text).unwrap();
    assert_eq!(run(folder.path(), &["ingest", "a.txt"]).status.code(), Some(0));
    let copy = folder.path().join("copy.sqlite");
    assert_eq!(run(folder.path(), &["backup", copy.to_str().unwrap()]).status.code(), Some(0));
    let whole = std::fs::read(&copy).unwrap();
    let needle = &text.as_bytes()[..20];
    let places: Vec<usize> = (0..whole.len() - 20).filter(|at| whole[*at..].starts_with(needle)).collect();
    assert!(places.len() > 2, "original, text and passages");
    let damaged = |places: &[usize]| {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        places.iter().for_each(|at| bytes[at + 3] ^= 1);
        std::fs::write(folder.path().join("dokkai.sqlite"), bytes).unwrap();
        let output = run(folder.path(), &["verify", "--repair", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let kinds = |field: &str| -> Vec<String> {
            report[field].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect()
        };
        (output.status.code(), kinds("repaired"), kinds("findings"))
    };
    // Pages that are no pages any more, not even for the database.
    let torn = tempfile::tempdir().unwrap();
    let mut bytes = whole.clone();
    bytes[4_096..8_192].fill(0xde);
    std::fs::write(torn.path().join("dokkai.sqlite"), bytes).unwrap();
    let refused = run(torn.path(), &["search", "needle"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("put the last backup in its place"), "{refused:?}");
    // The text comes first in the file: it is made anew from the original.
    assert_eq!(damaged(&places[..1]), (Some(0), vec!["passages".to_owned()], vec![]));
    // What is wrong with the original itself cannot be mended, and is said.
    let (status, _, left) = damaged(&places);
    assert_eq!(status, Some(1));
    assert!(left.contains(&"original".to_owned()), "{left:?}");
}
