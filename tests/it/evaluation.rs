//! `dokkai eval`: measures that can be computed by hand, on collections small enough for it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::{run, stdout};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Three documents; of the three queries one is answered first, one second, one not at all.
fn beir(folder: &Path) {
    write(
        folder,
        &[
            (
                "corpus.jsonl",
                r#"{"_id": "wing", "title": "Wings", "text": "The lift of a heated wing was measured."}
{"_id": "tail", "title": "Tails", "text": "A tail steers; the wing lifts."}
{"_id": 3, "title": "", "text": "水道料金の支払期限は、検針日の翌月20日です。"}
"#,
            ),
            (
                "queries.jsonl",
                r#"{"_id": "q1", "text": "水道料金の支払期限"}
{"_id": "q2", "text": "heated wing"}
{"_id": "q3", "text": "helicopter"}
{"_id": "unjudged", "text": "wing"}
"#,
            ),
            ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\t3\t1\nq2\ttail\t1\nq3\twing\t2\n"),
        ],
    );
}

fn evaluate(folder: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["eval", folder.to_str().unwrap(), "--json"];
    all.extend(arguments);
    let output = run(folder, &all);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn check_measure(report: &Value, name: &str, expected: f64) {
    let found = report["measures"][name].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{name}: {found}, not {expected}");
}

#[test]
fn a_collection_in_beirs_form_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    beir(folder.path());
    let report = evaluate(folder.path(), &[]);
    assert_eq!((&report["documents"], &report["queries"]), (&json!(3), &json!(3)));
    let second = 1.0 / 3.0_f64.log2();
    check_measure(&report, "ndcg@10", (1.0 + second) / 3.0);
    check_measure(&report, "mrr@10", 1.5 / 3.0);
    check_measure(&report, "recall@100", 2.0 / 3.0);
    let rankings: Vec<&Value> = report["per_query"].as_array().unwrap().iter().map(|one| &one["ranking"]).collect();
    assert_eq!(rankings, [&json!(["3"]), &json!(["wing", "tail"]), &json!([])]);
    assert_eq!(
        (&report["by_language"]["ja"]["queries"], &report["by_language"]["en"]["queries"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn a_run_is_compared_with_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    beir(folder.path());
    let kept = folder.path().join("kept");
    let keep = ["--keep", kept.to_str().unwrap()];
    let mut earlier = evaluate(folder.path(), &keep);
    // As if the first query had found nothing then.
    for name in ["ndcg@10", "mrr@10", "recall@10", "recall@100"] {
        earlier["per_query"][0][name] = json!(0.0);
    }
    let baseline = folder.path().join("earlier.json");
    std::fs::write(&baseline, earlier.to_string()).unwrap();
    let report = evaluate(folder.path(), &[keep[0], keep[1], "--baseline", baseline.to_str().unwrap()]);
    let difference = &report["differences"]["ndcg@10"];
    assert_eq!(difference["pairs"], 3);
    assert!((difference["mean"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9, "{difference}");
    assert!(difference["low"].as_f64() <= difference["mean"].as_f64(), "{difference}");
    assert!(difference["mean"].as_f64() <= difference["high"].as_f64(), "{difference}");
}

#[test]
fn a_folder_of_files_is_measured_and_translations_are_found_together() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            (
                "files/ja/water-fees.md",
                "# 水道料金\n\n水道料金の支払期限は、検針日の翌月20日です。PayPayやVISAでも払えます。問い合わせは 0570-091-100 へ。\n",
            ),
            (
                "files/en/water-fees.md",
                "# Bills\n\nThe bill is due on day 20 of the month after the reading. Pay by PayPay or VISA, or call 0570-091-100.\n",
            ),
            (
                "files/en/trains.md",
                "# Trains\n\nThe trains to the airport leave from platform three every ten minutes.\n",
            ),
            // Of the same name, but of something else.
            ("files/ja/trains.md", "# 列車\n\n水道料金の話はない。JR EAST Suica 2024年版の時刻表。\n"),
            ("queries.jsonl", "{\"_id\": \"q\", \"text\": \"料金の支払期限はいつですか\"}\n"),
            ("qrels/test.tsv", "q\tja/water-fees.md\t2\nq\ten/water-fees.md\t1\n"),
        ],
    );
    let report = evaluate(folder.path(), &[]);
    assert_eq!(report["per_query"][0]["ranking"], json!(["ja/water-fees.md", "en/water-fees.md", "ja/trains.md"]));
    check_measure(&report, "ndcg@10", 1.0);
}

#[test]
fn results_for_people_name_the_measures_and_a_folder_without_queries_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    beir(folder.path());
    let said = stdout(&run(folder.path(), &["eval", folder.path().to_str().unwrap(), "--limit", "1"]));
    assert!(said.to_lowercase().contains("ndcg@10") && said.contains("1.0000"), "{said}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run(empty.path(), &["eval", empty.path().to_str().unwrap()]).status.code(), Some(2));
}
