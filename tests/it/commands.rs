//! The commands, as a user types them.

use serde_json::{Value, json};

use crate::support::process::{Process, command, run, stdout};

/// A folder for data, and in it one of documents.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let docs = folder.path().join("docs");
    std::fs::create_dir_all(docs.join("deep/.hidden")).unwrap();
    std::fs::write(docs.join("fee.md"), "# 料金\n\n水道料金の支払期限は、検針日の翌月20日です。\n").unwrap();
    std::fs::write(docs.join("deep/battery.txt"), "The battery lasts for ten hours.").unwrap();
    std::fs::write(docs.join("deep/.hidden/secret.txt"), "hidden files are left alone").unwrap();
    let docs = docs.to_string_lossy().into_owned();
    (folder, docs)
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

#[test]
fn ingest_search_and_ask_work_on_the_data_folder() {
    let (folder, docs) = folder();
    let ingested = run(folder.path(), &["ingest", &docs, "--json"]);
    assert_eq!(ingested.status.code(), Some(0), "{ingested:?}");
    let documents = json(&ingested)["documents"].as_array().unwrap().clone();
    let seen: Vec<(&Value, &Value)> = documents.iter().map(|d| (&d["title"], &d["status"])).collect();
    assert_eq!(seen, [(&json!("battery.txt"), &json!("ready")), (&json!("料金"), &json!("ready"))]);

    let found = run(folder.path(), &["search", "支払期限", "--json"]);
    assert_eq!(json(&found)["hits"][0]["title"], "料金");
    assert!(stdout(&run(folder.path(), &["search", "battery"])).contains("1. battery.txt"));

    let record = json(&run(folder.path(), &["ask", "水道料金の支払期限はいつですか", "--json"]));
    assert_eq!((&record["status"], &record["mode"]), (&json!("complete"), &json!("extractive")));
    assert_eq!(record["citations"][0]["quote"], "水道料金の支払期限は、検針日の翌月20日です。");
    let said = stdout(&run(folder.path(), &["ask", "How long does the battery last?"]));
    assert!(said.contains("ten hours") && said.contains("[1] battery.txt"), "{said}");
}

#[test]
fn ask_with_docs_does_it_all_in_one_go_and_leaves_nothing_behind() {
    let (folder, docs) = folder();
    let output = run(folder.path(), &["ask", "How long does the battery last?", "--docs", &docs]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains("The battery lasts for ten hours. [1]"), "{output:?}");
    assert!(!folder.path().join("dokkai.sqlite").exists());
}

#[test]
fn commands_talk_to_the_server_that_holds_the_folder() {
    let (folder, docs) = folder();
    let server = Process::serve(folder.path(), &[]);
    assert_eq!(run(folder.path(), &["ingest", &docs]).status.code(), Some(0));
    assert_eq!(json(&run(folder.path(), &["search", "battery", "--json"]))["hits"][0]["title"], "battery.txt");
    // From elsewhere, by its address.
    let elsewhere = tempfile::tempdir().unwrap();
    let found = run(elsewhere.path(), &["search", "battery", "--json", "--server", &server.url]);
    assert_eq!(json(&found)["hits"][0]["title"], "battery.txt");
    // A second server on the same folder would destroy it.
    let second = run(folder.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by another dokkai at http://127.0.0.1:"));
}

#[test]
fn files_that_cannot_be_read_are_named_with_their_code() {
    let (folder, docs) = folder();
    let docx = b"PK\x03\x04 not really";
    std::fs::write(std::path::Path::new(&docs).join("report.docx"), docx).unwrap();
    let output = run(folder.path(), &["ingest", &docs]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(said.starts_with("2 ready, 1 failed") && said.contains("report.docx"), "{said}");
    let missing = run(folder.path(), &["ingest", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn settings_come_from_flag_environment_file_and_default_and_secrets_stay_masked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dokkai.toml"), "top_k = 7\nllm_max_concurrent = 9\n").unwrap();
    let output = command(folder.path())
        .args(["config", "--json", "--top-k", "3"])
        .env("DOKKAI_SYNTHESIS_MODEL", "other-model")
        .env("HOLYSHEEP_API_KEY", "very-secret")
        .output()
        .unwrap();
    assert!(!stdout(&output).contains("very-secret"));
    let settings = json(&output);
    let of = |name: &str| {
        let setting = settings.as_array().unwrap().iter().find(|setting| setting["variable"] == name).unwrap();
        (setting["value"].as_str().unwrap().to_owned(), setting["origin"].as_str().unwrap().to_owned())
    };
    let expected = [
        ("DOKKAI_TOP_K", "3", "flag"),
        ("DOKKAI_SYNTHESIS_MODEL", "other-model", "environment"),
        ("DOKKAI_LLM_API_KEY", "********", "environment"),
        ("DOKKAI_LLM_MAX_CONCURRENT", "9", "file"),
        ("DOKKAI_LISTEN", "127.0.0.1:8080", "default"),
    ];
    for (name, value, origin) in expected {
        assert_eq!(of(name), (value.to_owned(), origin.to_owned()), "{name}");
    }
}

#[test]
fn wrong_usage_ends_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 5] =
        [&["--no-such-flag"], &["no-such-command"], &["search"], &["--top-k", "99"], &["--listen", "0.0.0.0:0"]];
    for args in cases {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?} {output:?}");
        assert!(!output.stderr.is_empty());
    }
}
