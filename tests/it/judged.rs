//! `dokkai eval --answers`: what it says of answers whose making is scripted.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models::{ANALYSIS, SYNTHESIS, analysis, flags};
use crate::support::process::{Process, run, stdout};

const FEE: &str = "水道料金の支払期限は、検針日の翌月20日です。";
const HOURS: &str = "The office opens at nine o'clock.";
const PETS: &str = "Dogs must be kept on a lead in the park.";

fn write_documents(folder: &Path) -> String {
    let docs = folder.join("docs");
    std::fs::create_dir_all(&docs).unwrap();
    for (name, text) in [("fee.md", FEE), ("hours.md", HOURS), ("pets.md", PETS)] {
        std::fs::write(docs.join(name), format!("{text}\n")).unwrap();
    }
    docs.to_string_lossy().into_owned()
}

fn write_questions(folder: &Path, lines: &[Value]) -> String {
    let path = folder.join("judged.jsonl");
    std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path.to_string_lossy().into_owned()
}

fn questions() -> [Value; 5] {
    [
        json!({"id": "fee", "question": "水道料金の支払期限はいつですか", "expected_facts": ["翌月20日"], "expected_documents": ["docs/fee.md"]}),
        json!({"id": "hours", "question": "When does the office open?", "expected_facts": [["nine o'clock", "9:00"], "ten"], "expected_documents": ["hours.md", "fee.md"]}),
        json!({"id": "cats", "question": "Must cats be kept on a lead?", "refuse": true}),
        json!({"id": "horses", "question": "Must horses be kept in the park?", "refuse": true}),
        json!({"id": "dogs", "question": "Must dogs be kept on a lead?", "expected_facts": ["lead"]}),
    ]
}

/// Each question meets another fate, by what its only document's analysis is.
fn script(fake: &FakeLlm) {
    fake.when().prompt("支払期限はいつ").model(ANALYSIS).always(analysis(0.9, &[FEE]));
    let prose = || Answer::text("I would rather talk about the weather.");
    let good_and_bad = analysis(0.9, &[HOURS, "It opens whenever it likes."]);
    fake.when().prompt("office open?").model(ANALYSIS).then([prose(), good_and_bad]);
    fake.when().prompt("cats").model(ANALYSIS).always(analysis(0.0, &[]));
    fake.when().prompt("horses").model(ANALYSIS).always(analysis(0.8, &[PETS]));
    fake.when().prompt("Must dogs").model(ANALYSIS).always(prose());
    fake.when().prompt("支払期限はいつ").model(SYNTHESIS).always(Answer::text("翌月２０日です[1]。"));
    fake.when()
        .prompt("office open?")
        .model(SYNTHESIS)
        .always(Answer::text("At ten [1]. It is always so, they say [9]."));
    fake.when().prompt("office open?").model("other-writer").always(Answer::text("At ten, or at nine o’clock [1]."));
    fake.when().prompt("horses").always(Answer::text("They must [1]."));
}

/// The figures of a run over the files alone.
fn eval(folder: &Path, fake: &FakeLlm, more: &[&str]) -> Value {
    let (docs, questions) = (write_documents(folder), write_questions(folder, &questions()));
    let flags = flags(fake);
    let mut args = vec!["eval", "--answers", &questions, "--docs", &docs, "--json", "--top-k", "1"];
    args.extend(flags.iter().map(String::as_str).chain(more.iter().copied()));
    let output = run(folder, &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn mean(part: &Value, measure: &str) -> (f64, u64) {
    let mean = &part["means"][measure];
    (mean["mean"].as_f64().unwrap(), mean["questions"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_held_against_what_was_expected_of_them() {
    let (fake, folder) = (FakeLlm::start().await, tempfile::tempdir().unwrap());
    script(&fake);
    let report = eval(folder.path(), &fake, &["--max-cost-usd", "1"]);
    let all = &report["all"];
    assert_eq!(all["statuses"], json!({"complete": 3, "no_evidence": 1, "partial": 1}), "{report}");
    assert_eq!(all["modes"], json!({"model": 4, "extractive": 1}));
    assert_eq!(mean(all, "facts found"), ((1.0 + 0.5 + 1.0) / 3.0, 3), "{report}");
    assert_eq!(report["per_question"][1]["missing_facts"], json!(["nine o'clock | 9:00"]));
    assert_eq!(mean(all, "citation precision"), (1.0, 2));
    assert_eq!(mean(all, "citation recall"), (0.75, 2));
    assert_eq!(mean(all, "citations verified"), (1.0, 4));
    assert_eq!(mean(all, "refused rightly or not"), (0.8, 5));
    assert_eq!(all["refusals"], json!({"right": 1, "wrong": 0, "missed": 1}));
    let analyses = json!({
        "ok": 4, "irrelevant": 1, "failed": 0, "timed_out": 0, "cached": 0, "unreadable": 1, "repairs": 2,
        "quotes": 4, "dropped_quotes": 1,
    });
    assert_eq!(all["analyses"], analyses, "{report}");
    assert_eq!((&all["removed_marks"], &all["uncited_sentences"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(all["upstream_calls"], json!(fake.bodies().len()));
    assert!(all["cost_usd"].as_f64().unwrap() > 0.0);
    let by_language = &report["by_language"];
    assert_eq!(
        (mean(&by_language["ja"], "facts found"), mean(&by_language["en"], "facts found")),
        ((1.0, 1), (0.75, 2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_configurations_are_compared_question_by_question() {
    let (fake, folder) = (FakeLlm::start().await, tempfile::tempdir().unwrap());
    script(&fake);
    let first = eval(folder.path(), &fake, &[]);
    let baseline = folder.path().join("first.json");
    std::fs::write(&baseline, first.to_string()).unwrap();
    let baseline = baseline.to_string_lossy();
    // The reply that had to be repaired is used up.
    fake.when().prompt("office open?").model(ANALYSIS).always(analysis(0.9, &[HOURS]));
    let second = eval(folder.path(), &fake, &["--synthesis-model", "other-writer", "--baseline", &baseline]);
    let difference = &second["differences"]["facts found"];
    assert_eq!(difference["pairs"], 3);
    // Of three questions one is better by half, and none is worse.
    assert!((difference["mean"].as_f64().unwrap() - 0.5 / 3.0).abs() < 1e-9, "{second}");
    assert_eq!(difference["low"], 0.0);
    assert_eq!(second["differences"]["citation recall"]["mean"], 0.0);
}

#[test]
fn questions_are_asked_of_the_server_that_holds_the_documents() {
    let folder = tempfile::tempdir().unwrap();
    let (docs, questions) = (write_documents(folder.path()), write_questions(folder.path(), &questions()[..2]));
    let server = Process::serve(folder.path(), &[]);
    assert_eq!(run(folder.path(), &["ingest", &docs]).status.code(), Some(0));
    let elsewhere = tempfile::tempdir().unwrap();
    let output = run(elsewhere.path(), &["eval", "--answers", &questions, "--server", &server.url]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = stdout(&output);
    let row = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {said}"));
    assert_eq!(row("judged.jsonl").split_whitespace().collect::<Vec<_>>(), ["judged.jsonl", "en", "ja", "all"]);
    assert!(row("facts found").ends_with("0.7500 of 2"), "{said}");
    assert!(row("  extractive mode").ends_with('2'), "{said}");
}

#[test]
fn what_cannot_be_judged_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let questions = write_questions(folder.path(), &[json!({"question": "a?"}), json!({"questoin": "b?"})]);
    let output = run(folder.path(), &["eval", "--answers", &questions]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("judged.jsonl, line 2: unknown field `questoin`"));
    assert_eq!(run(folder.path(), &["eval"]).status.code(), Some(2), "neither a folder nor questions");
}
