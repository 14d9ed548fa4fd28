//! What a record holds, whatever the models do.

use serde_json::{Value, json};

use crate::support::fake_llm::{Answer, FakeLlm};
use crate::support::models::{ANALYSIS, SYNTHESIS, analysis, app, calls};

/// One kind of upstream, and what becomes of its word.
struct Case {
    upstream: &'static str,
    analysis: Answer,
    synthesis: &'static str,
    /// Status of the record and of each analysis, quotes kept and dropped.
    status: (&'static str, &'static str, usize, u64),
    answer: &'static str,
    /// Marks cited, marks removed, sentences without a mark.
    marks: (&'static [u64], u64, &'static [&'static str]),
    analysis_calls: usize,
}

const OPENS: &str = "Branch 0 opens at nine o'clock";

#[tokio::test]
async fn a_record_holds_what_can_be_checked_whatever_the_upstream_says() {
    let prose = "The branch opens at nine, I would say.";
    let cases = [
        Case {
            upstream: "quotes correctly",
            analysis: analysis(0.9, &[OPENS, "It has 0 counters."]),
            synthesis: "It opens at nine [1] and has counters [2].",
            status: ("complete", "ok", 2, 0),
            answer: "It opens at nine [1] and has counters [2].",
            marks: (&[1, 2], 0, &[]),
            analysis_calls: 1,
        },
        Case {
            upstream: "quotes wrongly",
            analysis: analysis(0.9, &["Branch 0 opens at ten o'clock", "It has many counters."]),
            synthesis: "It opens at ten [1].",
            status: ("complete", "ok", 0, 2),
            answer: "It opens at ten [1].",
            marks: (&[1], 0, &[]),
            analysis_calls: 1,
        },
        Case {
            upstream: "cites [9] of 1",
            analysis: analysis(0.9, &[OPENS]),
            synthesis: "It opens at nine [9]. It is so [1, 9]（9）.",
            status: ("complete", "ok", 1, 0),
            answer: "It opens at nine. It is so [1]（9）.",
            marks: (&[1], 2, &["It opens at nine."]),
            analysis_calls: 1,
        },
        Case {
            upstream: "answers in prose",
            analysis: Answer::text(prose),
            synthesis: "never asked",
            status: ("partial", "ok", 1, 0),
            answer: "- Branch 0 opens at nine o'clock. [1]\n",
            marks: (&[1], 0, &[]),
            // The second call asks for a repair.
            analysis_calls: 2,
        },
        Case {
            upstream: "forgets the evidence",
            analysis: Answer::text(r#"{"relevance_score": 0.9, "summary": "It opens at nine."}"#),
            synthesis: "It opens at nine [1].",
            status: ("complete", "ok", 0, 0),
            answer: "It opens at nine [1].",
            marks: (&[1], 0, &[]),
            analysis_calls: 1,
        },
        Case {
            upstream: "cites nothing",
            analysis: analysis(0.9, &[OPENS]),
            synthesis: "It opens at nine o'clock. It never closes.",
            status: ("complete", "ok", 1, 0),
            answer: "It opens at nine o'clock. It never closes.",
            marks: (&[], 0, &["It opens at nine o'clock.", "It never closes."]),
            analysis_calls: 1,
        },
        Case {
            upstream: "writes other marks",
            analysis: analysis(0.9, &[OPENS, "It has 0 counters."]),
            synthesis: "At nine 【1†source】. Counters ［２］。Both [1-2]. `a[9]` and [9](https://x.example/y).",
            status: ("complete", "ok", 2, 0),
            answer: "At nine [1]. Counters [2]。Both [1][2]. `a[9]` and 9(`https://x.example/y`).",
            marks: (&[1, 2], 0, &[]),
            analysis_calls: 1,
        },
        Case {
            upstream: "finds nothing",
            analysis: analysis(0.0, &[]),
            synthesis: "never asked",
            status: ("no_evidence", "irrelevant", 0, 0),
            answer: "None of the stored documents says anything that answers this question.",
            marks: (&[], 0, &[]),
            analysis_calls: 1,
        },
    ];
    for case in cases {
        check(case).await;
    }
}

async fn check(case: Case) {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    app.add("Branch 0", "Branch 0 opens at nine o'clock.\n\nIt has 0 counters.").await;
    fake.when().model(ANALYSIS).always(case.analysis);
    fake.when().model(SYNTHESIS).always(Answer::text(case.synthesis));
    let record = app.ask("When does branch 0 open?").await;
    let analysis = &record["analyses"][0];
    let upstream = case.upstream;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let number = |value: &Value| value.as_u64().unwrap();
    let kept = analysis["evidence"].as_array().unwrap().len();
    let (status, of_analysis, quotes, dropped) = case.status;
    assert_eq!((text(&record["status"]), text(&analysis["status"])), (status.into(), of_analysis.into()), "{upstream}");
    assert_eq!((kept, number(&analysis["dropped_quotes"])), (quotes, dropped), "{upstream}: {analysis}");
    assert_eq!(record["answer"], case.answer, "{upstream}");
    let citations = record["citations"].as_array().unwrap();
    let cited: Vec<u64> = citations.iter().map(|citation| number(&citation["marker"])).collect();
    let (marks, removed, uncited) = case.marks;
    assert_eq!((cited, number(&record["removed_marks"])), (marks.to_vec(), removed), "{upstream}");
    assert_eq!(record["uncited_sentences"], json!(uncited), "{upstream}");
    assert!(citations.iter().all(|citation| citation["verified"] == true), "{upstream}: what is cited stands there");
    assert_eq!(calls(&fake, ANALYSIS), case.analysis_calls, "{upstream}");
}

#[tokio::test]
async fn a_long_document_is_read_in_several_calls_and_what_they_say_is_merged() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    let section = |n: usize| {
        let filler = format!("The lighthouse number {n} stands on a rock and its keeper counts the ships of the bay. ");
        format!("# Lighthouse {n}\n\n{}The lamp of lighthouse {n} burns oil number {n}.\n\n", filler.repeat(12))
    };
    app.add("Lighthouses", &(0..40).map(section).collect::<String>()).await;
    fake.when().model(SYNTHESIS).always(Answer::text("Oil [1]."));
    let ask = json!({"question": "What oil does the lamp of the lighthouse burn?", "top_k": 1});
    let record = app.ask_with(&ask).await;
    let made = calls(&fake, ANALYSIS);
    assert!((2..=3).contains(&made), "{made} calls");
    let analysis = &record["analyses"][0];
    assert_eq!((&analysis["status"], &analysis["attempts"]), (&json!("ok"), &json!(made)));
    assert_eq!(analysis["dropped_quotes"], 0, "quotes of every part are found: {analysis}");
    assert_eq!(record["usage"]["upstream_calls"], made + 1);

    // One part that fails leaves the others' word, and says so.
    let again = json!({"question": "Which oil does the lamp of each lighthouse burn?", "top_k": 1});
    fake.when().model(ANALYSIS).then([Answer::status(400, &[], "{}")]);
    let record = app.ask_with(&again).await;
    let analysis = &record["analyses"][0];
    assert_eq!((&analysis["status"], &analysis["error"]["code"]), (&json!("ok"), &json!("upstream_rejected")));
    assert_eq!(record["status"], "partial");
}

#[tokio::test]
async fn a_record_tells_how_it_can_be_made_again() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    let id = app.add("Branch 0", "Branch 0 opens at nine o'clock.").await;
    let reply = r#"{"relevance_score": 0.9, "summary": "At nine.", "evidence": ["Branch 0 opens"]}"#;
    fake.when().model(ANALYSIS).always(Answer::text(reply));
    fake.when().model(SYNTHESIS).always(Answer::text("At nine ［1］."));
    let record = app.ask("When does branch 0 open?").await;
    let settings = &record["settings"];
    assert_eq!((&settings["top_k"], &settings["analysis_models"]), (&json!(5), &json!([ANALYSIS])));
    assert_eq!(record["analyses"][0]["content_hash"].as_str().map(str::len), Some(64));
    assert_eq!(record["retrieved"][0]["passages"], json!([[0, 1]]));

    let path = format!("/api/questions/{}", record["id"].as_str().unwrap());
    let full = app.get(&format!("{path}?detail=full")).await.json();
    assert_eq!(full["answer"], record["answer"]);
    let detail = &full["detail"];
    assert_eq!(detail["analyses"], json!([{"document_id": id, "replies": [reply]}]));
    assert_eq!(detail["synthesis"]["reply"], "At nine ［1］.");
    assert!(detail["synthesis"]["prompt"].as_str().unwrap().contains("(stored 20"), "{detail}");
    let prompts = detail["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 4);
    for prompt in prompts {
        assert_eq!(prompt["version"], settings["prompts"][prompt["purpose"].as_str().unwrap()]);
        assert!(prompt["text"].as_str().unwrap().contains("data"));
    }
    assert_eq!(app.get(&format!("{path}?detail=some")).await.code(), "invalid_parameter");
    assert!(app.get(&path).await.json().get("detail").is_none());
}

#[tokio::test]
async fn the_dates_of_documents_are_told_to_who_writes_the_answer() {
    let fake = FakeLlm::start().await;
    let app = app(&fake, &[]).await;
    for (title, year) in [("Old rules", json!("2019-04-01")), ("New rules", json!(2024))] {
        let text = format!("{title}: the branch opens at nine o'clock.");
        let metadata = if year.is_string() { json!({"date": year}) } else { json!({"year": year}) };
        let body = json!({"title": title, "text": text, "metadata": metadata});
        app.post("/api/documents?wait=true", &body).await;
    }
    app.ask("When does the branch open?").await;
    let prompt = fake.bodies().pop().unwrap()["messages"][1]["content"].as_str().unwrap().to_owned();
    assert!(prompt.contains("Document: Old rules (dated 2019-04-01)"), "{prompt}");
    assert!(prompt.contains("Document: New rules (dated 2024)"), "{prompt}");
}
