//! Upstream calls on the wire: whatever the upstream does, a call ends in time, with a reply or a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dokkai::config::LlmConfig;
use dokkai::error::Code;
use dokkai::llm::{
    Call, CallFailed, Completion, Embed, HedgeGroup, JsonCompletion, Kind, LedgerEntry, Llm, LlmError, Message,
    Purpose, Role, Shape, json as replies,
};
use dokkai::model::CallRecord;
use dokkai::simulate::embeddings::EmbeddingRequest;
use dokkai::simulate::faults::Fault;
use dokkai::simulate::{Options, Simulator};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::fake_llm::{Answer, FakeLlm};

struct Client {
    llm: Arc<Llm>,
    ledger: mpsc::UnboundedReceiver<LedgerEntry>,
}

fn config(url: &str) -> LlmConfig {
    LlmConfig {
        base_url: url.to_owned(),
        api_key: Some("test-key".into()),
        analysis_models: vec!["deepseek-v3.2".to_owned()],
        synthesis_models: vec!["gpt-4.1".to_owned()],
        embedding_model: None,
        max_concurrent: 10,
        rpm: None,
        tpm: None,
        connect_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(200),
        total_timeout: Duration::from_millis(400),
        max_attempts: 4,
        backoff: Duration::from_millis(1),
        hedge: true,
        prices: BTreeMap::new(),
        jpy_per_usd: 1.0,
        official_jpy_per_usd: 7.3,
    }
}

fn client(config: LlmConfig) -> Client {
    let (sender, ledger) = mpsc::unbounded_channel();
    Client { llm: Arc::new(Llm::new(config, sender).unwrap()), ledger }
}

fn client_of(fake: &FakeLlm) -> Client {
    client(config(&fake.url()))
}

const RELEVANCE: Shape = Shape { name: "relevance", fields: &[("relevance", Kind::Number)] };

fn call(prompt: &str) -> Call {
    Call {
        purpose: Purpose::Analysis,
        models: vec!["deepseek-v3.2".to_owned()],
        messages: vec![Message { role: Role::User, content: prompt.to_owned() }],
        max_tokens: 100,
        temperature: 0.0,
        json: None,
        deadline: Instant::now() + Duration::from_secs(5),
        flow: Uuid::nil(),
        hedge: None,
        gate: None,
    }
}

impl Client {
    /// The next call of the ledger.
    async fn ended_call(&mut self) -> CallRecord {
        match self.ledger.recv().await.unwrap() {
            LedgerEntry::Call(record) => record,
            LedgerEntry::Ask(_) => panic!("nobody asked"),
        }
    }

    async fn ask(&self, prompt: &str) -> Result<Completion, CallFailed> {
        self.llm.complete(call(prompt)).await
    }

    async fn ask_json(&self, prompt: &str) -> Result<JsonCompletion<f64>, CallFailed> {
        self.ask_json_within(prompt, Duration::from_secs(5)).await
    }

    async fn ask_json_within(&self, prompt: &str, time: Duration) -> Result<JsonCompletion<f64>, CallFailed> {
        let check =
            |value: &Value| replies::score(&value["relevance"]).ok_or_else(|| "relevance is missing".to_owned());
        let call = Call { json: Some(RELEVANCE), deadline: Instant::now() + time, ..call(prompt) };
        self.llm.complete_json(call, check).await
    }

    /// The call's end and every delta that it sent.
    async fn stream(&self, call: Call) -> (Result<Completion, CallFailed>, Vec<String>) {
        let (sender, mut deltas) = mpsc::unbounded_channel();
        let llm = Arc::clone(&self.llm);
        let running =
            tokio::spawn(async move { llm.stream(call, |delta| sender.send(delta.to_owned()).unwrap()).await });
        let mut seen = Vec::new();
        while let Some(delta) = deltas.recv().await {
            seen.push(delta);
        }
        (running.await.unwrap(), seen)
    }
}

#[tokio::test]
async fn a_call_sends_what_the_api_defines_and_reports_what_it_took() {
    let fake = FakeLlm::start().await;
    fake.when().always(Answer::text("<think>hm</think>\n払込票で払います"));
    let mut client = client(config(&fake.url()));
    let done = client.llm.complete(Call { json: Some(RELEVANCE), ..call("料金は") }).await.unwrap();
    assert_eq!(done.text, "払込票で払います");
    assert_eq!((done.model.as_str(), done.finish_reason.as_deref()), ("deepseek-v3.2", Some("stop")));
    assert_eq!((done.spent.attempts, done.spent.usage.upstream_calls, done.spent.usage.estimated), (1, 1, false));
    let request = &fake.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(request.header("authorization"), Some("Bearer test-key"));
    let body = &fake.bodies()[0];
    assert_eq!(body["messages"][0]["content"], "料金は");
    assert_eq!((&body["max_tokens"], &body["stream"]), (&100.into(), &false.into()));
    assert_eq!(body["response_format"]["type"], "json_object");
    let record = client.ended_call().await;
    assert_eq!((record.outcome, record.attempts, record.purpose), ("ok", 1, "analysis"));
    let usd = (record.prompt_tokens as f64 * 0.28 + record.completion_tokens as f64 * 0.42) / 1e6;
    assert!(usd > 0.0 && (record.cost_usd - usd).abs() < 1e-12 && (record.cost_jpy - usd).abs() < 1e-12, "{record:?}");
}

#[tokio::test]
async fn passing_faults_are_retried() {
    let check = async |name: &str, bad: Answer| {
        let fake = FakeLlm::start().await;
        fake.when().then([bad, Answer::text("good")]);
        let done = client(config(&fake.url())).ask("q").await;
        let done = done.unwrap_or_else(|failed| panic!("{name}: {failed:?}"));
        assert_eq!((done.text.as_str(), done.spent.attempts, fake.requests().len()), ("good", 2, 2), "{name}");
    };
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
        check(&status.to_string(), Answer::status(status, &[], "{}")).await;
    }
    check("reset", Answer::reset()).await;
    check("silence", Answer::silence()).await;
    check("cut at once", Answer::text("x").cut_after(0)).await;
    check("cut", Answer::text("x").cut_after(20)).await;
    check("stalled body", Answer::text("x").stall_after(20)).await;
    check("html", Answer::body("<html>")).await;
    check("no body", Answer::body("")).await;
    check("array", Answer::body("[]")).await;
    check("empty choices", Answer::body(r#"{"choices":[]}"#)).await;
    check("null choices", Answer::body(r#"{"choices":null}"#)).await;
    check("empty text", Answer::text("")).await;
    check("thoughts alone", Answer::text("<think>hm</think>")).await;
    check("error with status 200", Answer::body(r#"{"error":{"code":503,"message":"busy"}}"#)).await;
    check("bad utf-8 length", Answer::body("{\"choices\":[{\"message\":{\"content\":\"")).await;
}

#[tokio::test]
async fn what_another_try_would_not_change_is_not_retried() {
    let check = async |status: u16, body: &str, code: Code| {
        let fake = FakeLlm::start().await;
        fake.when().always(Answer::status(status, &[("retry-after", "0")], body));
        let failed = client(config(&fake.url())).ask("q").await.unwrap_err();
        assert_eq!((failed.error.code(), fake.requests().len()), (code, 1), "{status}");
        assert_eq!(failed.spent.attempts, 1);
    };
    for status in [401, 403] {
        check(status, "{}", Code::UpstreamUnauthorized).await;
    }
    for status in [301, 400, 404, 405, 413, 422] {
        check(status, "{}", Code::UpstreamRejected).await;
    }
    check(429, r#"{"error":{"code":"insufficient_quota"}}"#, Code::UpstreamUnavailable).await;
    check(402, "", Code::UpstreamUnavailable).await;
}

#[tokio::test]
async fn a_field_that_the_upstream_refuses_is_left_out() {
    let fake = FakeLlm::start().await;
    let complaint = r#"{"error":"'response_format.type' must be 'json_schema' or 'text'"}"#;
    fake.when().then([Answer::status(400, &[], complaint)]);
    fake.when().always(Answer::text("{}"));
    let client = client(config(&fake.url()));
    for _ in 0..2 {
        client.llm.complete(Call { json: Some(RELEVANCE), ..call("q") }).await.unwrap();
    }
    assert_eq!(formats(&fake), ["json_object", "json_schema", "json_schema"]);
    let schema = &fake.bodies()[1]["response_format"]["json_schema"];
    assert_eq!((&schema["name"], &schema["strict"]), (&"relevance".into(), &true.into()));
    assert_eq!(schema["schema"]["properties"]["relevance"]["type"], "number");
    assert_eq!(schema["schema"]["required"], json!(["relevance"]));
    let fake = FakeLlm::start().await;
    fake.when().always(Answer::status(400, &[], complaint));
    assert!(client_of(&fake).ask_json("q").await.is_err());
    assert_eq!(formats(&fake), ["json_object", "json_schema", "none"], "the same complaint again ends it");
}

#[tokio::test]
async fn calls_that_are_refused_a_field_at_the_same_time_all_go_on_without_it() {
    let fake = FakeLlm::start().await;
    let complaint = r#"{"error":{"message":"response_format is not supported"}}"#;
    fake.when().then((0..4).map(|_| Answer::status(400, &[], complaint)));
    fake.when().always(Answer::text("{}"));
    let client = client(config(&fake.url()));
    let asked = Call { json: Some(RELEVANCE), ..call("q") };
    let done = futures_util::future::join_all((0..4).map(|_| client.llm.complete(asked.clone()))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(fake.requests().len(), 8, "each is refused once: {:?}", formats(&fake));
}

#[tokio::test]
async fn a_model_whose_reply_cannot_be_used_is_kept_to_a_schema_from_then_on() {
    let fake = FakeLlm::start().await;
    fake.when().then([Answer::text(r#"{"answer": 42}"#)]);
    fake.when().always(Answer::text(r#"{"relevance": 0.5}"#));
    let client = client_of(&fake);
    for repairs in [1, 0] {
        let done = client.ask_json("q").await.unwrap();
        assert_eq!((done.value, done.completion.spent.repairs), (0.5, repairs));
    }
    assert_eq!(formats(&fake), ["json_object", "json_schema", "json_schema"]);
}

/// How each request asked for JSON.
fn formats(fake: &FakeLlm) -> Vec<String> {
    let format = |body: &Value| body["response_format"]["type"].as_str().unwrap_or("none").to_owned();
    fake.bodies().iter().map(format).collect()
}

#[tokio::test]
async fn a_call_that_never_succeeds_ends_with_its_last_reason() {
    let check = async |bad: Answer, code: Code, tries: usize| {
        let fake = FakeLlm::start().await;
        fake.when().always(bad);
        let mut client = client(config(&fake.url()));
        let failed = client.ask("q").await.unwrap_err();
        assert_eq!((failed.error.code(), fake.requests().len()), (code, tries));
        let record = client.ended_call().await;
        assert_eq!((record.outcome, record.attempts as usize), (code.as_str(), tries));
    };
    check(Answer::status(500, &[], ""), Code::UpstreamUnavailable, 4).await;
    check(Answer::status(429, &[], ""), Code::UpstreamRateLimited, 4).await;
    // As slow as it was, it would be again.
    check(Answer::silence(), Code::UpstreamTimeout, 2).await;
    check(Answer::body("no"), Code::UpstreamInvalidReply, 4).await;
    check(Answer::text(""), Code::UpstreamRefused, 4).await;
    check(Answer::refusal(), Code::UpstreamRefused, 2).await;
}

#[tokio::test]
async fn nothing_listening_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let plain = FakeLlm::start().await.url().replace("http:", "https:");
    for url in [format!("http://127.0.0.1:{port}/v1"), plain, "http://nowhere.invalid/v1".to_owned()] {
        let failed = client(config(&url)).ask("q").await.unwrap_err();
        assert_eq!(failed.error, LlmError::Unavailable { reason: "no connection".to_owned() }, "{url}");
    }
}

#[tokio::test]
async fn without_an_upstream_nothing_is_sent() {
    let mut config = config(dokkai::config::DEFAULT_BASE_URL);
    config.api_key = None;
    let client = client(config);
    assert!(!client.llm.is_configured());
    assert_eq!(client.ask("q").await.unwrap_err().error, LlmError::NotConfigured);
}

#[tokio::test]
async fn a_base_url_that_is_none_is_refused_before_any_call() {
    let (ledger, _calls) = mpsc::unbounded_channel();
    let refused = Llm::new(config("http://[::1"), ledger).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("the base URL cannot be read"), "{refused}");
}

#[tokio::test]
async fn the_deadline_ends_every_wait() {
    let check = async |answers: Vec<Answer>, concurrent: usize| {
        let fake = FakeLlm::start().await;
        for answer in answers {
            fake.when().always(answer);
        }
        let mut config = config(&fake.url());
        config.max_concurrent = concurrent;
        (config.backoff, config.total_timeout) = (Duration::from_secs(30), Duration::from_secs(30));
        config.idle_timeout = Duration::from_secs(30);
        let client = client(config);
        let start = Instant::now();
        let deadline = start + Duration::from_millis(150);
        let (a, b) = tokio::join!(
            client.llm.complete(Call { deadline, ..call("a") }),
            client.llm.complete(Call { deadline, ..call("b") })
        );
        assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
        (a.unwrap_err().error, b.unwrap_err().error)
    };
    let (a, b) = check(vec![Answer::silence()], 1).await;
    assert_eq!((a, b), (LlmError::DeadlineExceeded, LlmError::DeadlineExceeded), "one in flight, one in the queue");
    let (a, _) = check(vec![Answer::status(429, &[("retry-after", "60")], "")], 10).await;
    assert!(matches!(a, LlmError::RateLimited { retry_after: Some(_) }), "{a:?}");
}

#[tokio::test]
async fn the_latest_retry_after_holds_every_call() {
    let fake = FakeLlm::start().await;
    let limited = |ms: &str| Answer::status(429, &[("retry-after-ms", ms), ("retry-after", "0")], "{}");
    fake.when().prompt("first").then([limited("160")]);
    fake.when().prompt("second").then([limited("1000").after(10)]);
    fake.when().always(Answer::text("good"));
    let client = client(config(&fake.url()));
    let start = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(240)).await;
        client.ask("third").await
    };
    let (first, second, third) = tokio::join!(client.ask("first"), client.ask("second"), later);
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    let held = Duration::from_millis(1000);
    let early = fake.requests().iter().filter(|request| request.at < start + held).count();
    assert_eq!(early, 2, "calls went out during the pause");
}

#[tokio::test]
async fn no_more_than_the_limit_are_in_flight_and_connections_are_reused() {
    let fake = FakeLlm::start().await;
    fake.when().always(Answer::text("good").after(10));
    let client = client(config(&fake.url()));
    let calls = (0..60).map(|n| {
        let llm = Arc::clone(&client.llm);
        tokio::spawn(async move { llm.complete(call(&n.to_string())).await.map(|done| done.text) })
    });
    for result in futures_util::future::join_all(calls).await {
        assert_eq!(result.unwrap().unwrap(), "good");
    }
    assert_eq!(fake.most_in_flight(), 10);
    assert!(fake.connections() <= 10, "{} connections", fake.connections());
}

#[tokio::test]
async fn fallbacks_answer_in_order_and_are_named() {
    let check = async |bad: Answer, tries: u32| {
        let fake = FakeLlm::start().await;
        fake.when().model("a").always(bad);
        fake.when().model("b").always(Answer::text("from b"));
        let client = client(config(&fake.url()));
        let models = vec!["a".to_owned(), "b".to_owned()];
        let done = client.llm.complete(Call { models, ..call("q") }).await.unwrap();
        assert_eq!((done.text.as_str(), done.model.as_str(), done.spent.attempts), ("from b", "b", tries));
        assert_eq!(done.spent.usage.by_model["a"].upstream_calls, tries - 1);
    };
    check(Answer::status(404, &[], ""), 2).await;
    check(Answer::refusal(), 2).await;
    check(Answer::status(500, &[], ""), 3).await;
    check(Answer::text(""), 3).await;
}

#[tokio::test]
async fn a_failing_model_is_left_alone() {
    let fake = FakeLlm::start().await;
    fake.when().model("a").always(Answer::status(500, &[], ""));
    fake.when().model("b").always(Answer::text("from b"));
    let client = client(config(&fake.url()));
    let models = vec!["a".to_owned(), "b".to_owned()];
    for _ in 0..10 {
        client.llm.complete(Call { models: models.clone(), ..call("q") }).await.unwrap();
    }
    let to_a = fake.bodies().iter().filter(|body| body["model"] == "a").count();
    assert_eq!(to_a, 8, "the circuit opens after eight failures");
    let start = Instant::now();
    let alone = client.llm.complete(Call { models: vec!["a".to_owned()], ..call("q") }).await;
    assert!(matches!(alone.unwrap_err().error, LlmError::Unavailable { .. }));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_stream_arrives_in_pieces_without_reasoning() {
    let fake = FakeLlm::start().await;
    fake.when().always(Answer::slow_tokens(&["<thi", "nk>x</think>", "\n水", "道", " 1 < 2"], 5));
    let client = client(config(&fake.url()));
    let (done, deltas) = client.stream(call("q")).await;
    let done = done.unwrap();
    assert_eq!(deltas, ["水", "道", " 1 < 2"]);
    assert_eq!((done.text.as_str(), done.spent.attempts, done.spent.usage.estimated), ("水道 1 < 2", 1, false));
    assert_eq!(fake.bodies()[0]["stream_options"]["include_usage"], true);
    client.stream(call("again")).await.0.unwrap();
    assert_eq!(fake.connections(), 1, "a finished stream's connection serves the next call");
}

#[tokio::test]
async fn a_stream_is_repeated_only_before_its_first_text() {
    let head = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let some = format!("{head}data: {{\"choices\":[{{\"delta\":{{\"content\":\"half\"}}}}]}}\n\n");
    let events = |body: &str| Answer::status(200, &[("content-type", "text/event-stream")], body);
    let check = async |bad: Answer, again: bool| {
        let fake = FakeLlm::start().await;
        fake.when().then([bad]);
        fake.when().always(Answer::tokens(&["whole", " text"]));
        let (result, deltas) = client(config(&fake.url())).stream(call("q")).await;
        if again {
            assert_eq!((result.unwrap().text.as_str(), deltas.concat().as_str()), ("whole text", "whole text"));
        } else {
            let failed = result.unwrap_err();
            assert_eq!((failed.replies, deltas.concat().as_str()), (vec!["half".to_owned()], "half"));
            assert!(failed.spent.usage.estimated && failed.spent.usage.completion_tokens > 0);
            assert_eq!(fake.requests().len(), 1);
        }
    };
    check(Answer::status(503, &[], ""), true).await;
    check(Answer::reset(), true).await;
    check(Answer::silence(), true).await;
    check(events(head), true).await;
    check(events(head).stall_after(head.len()), true).await;
    check(events("data: {\"error\":{\"code\":500}}\n\n"), true).await;
    check(events(&some), false).await;
    check(events(&some).stall_after(some.len()), false).await;
    check(events(&format!("{some}data: {{\"error\":{{\"code\":500}}}}\n\n")), false).await;
    check(events(&format!("{some}data: {{broken\n\n")), false).await;
}

#[tokio::test]
async fn a_try_that_hangs_is_made_anew_once_the_model_is_known_to_be_quicker() {
    let check = async |streamed: bool| {
        let fake = FakeLlm::start().await;
        fake.when().then([Answer::text("first"), Answer::silence()]);
        fake.when().always(Answer::text("anew"));
        let minute = Duration::from_secs(60);
        let client = client(LlmConfig { idle_timeout: minute, total_timeout: minute, ..config(&fake.url()) });
        let ask = async |text: &str| {
            let call = Call { deadline: Instant::now() + minute, ..call(text) };
            if streamed { client.stream(call).await.0 } else { client.llm.complete(call).await }
        };
        assert_eq!(ask("q").await.unwrap().text, "first");
        let anew = ask("q").await.unwrap();
        assert_eq!((anew.text.as_str(), anew.spent.attempts), ("anew", 2));
        assert!(anew.spent.latency < minute / 2, "{:?}", anew.spent.latency);
    };
    tokio::join!(check(true), check(false));
}

#[tokio::test]
async fn streams_are_read_as_upstreams_really_send_them() {
    let check = async |content_type: &str, body: &str, text: &str| {
        let fake = FakeLlm::start().await;
        fake.when().always(Answer::status(200, &[("content-type", content_type)], body));
        let (result, deltas) = client(config(&fake.url())).stream(call("q")).await;
        assert_eq!(result.unwrap().text, text, "{body}");
        assert_eq!(deltas.concat(), text);
    };
    let token = "data: {\"choices\":[{\"delta\":{\"content\":\"水\"}}]}";
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}";
    check("text/event-stream", &format!(": keep-alive\n\n{token}\n\n: x\n\n{end}\n\ndata: [DONE]\n\n"), "水").await;
    check("text/event-stream", &format!("{token}\r\n\r\n{token}\r\n\r\n{end}\r\n\r\n"), "水水").await;
    check("text/event-stream", &format!("{token}\n{end}\ndata: [DONE]\n"), "水").await;
    check("text/event-stream", &format!("{token}\n\ndata: [DONE]\n\n"), "水").await;
    check("text/plain", &format!("{token}\n\n{end}\n\n"), "水").await;
    check("application/json", r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}"#, "whole").await;
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place_and_is_recorded() {
    let fake = FakeLlm::start().await;
    fake.when().prompt("slow").always(Answer::silence());
    let mut config = config(&fake.url());
    (config.max_concurrent, config.total_timeout) = (1, Duration::from_secs(30));
    let mut client = client(config);
    let given_up = tokio::time::timeout(Duration::from_millis(50), client.ask("slow")).await;
    assert!(given_up.is_err());
    assert!(client.ask("quick").await.is_ok());
    let record = client.ended_call().await;
    assert_eq!((record.outcome, record.attempts, record.estimated), ("cancelled", 1, true));
    assert!(record.prompt_tokens > 0 && record.cost_usd > 0.0, "the upstream bills what it was sent");
}

#[tokio::test]
async fn json_is_read_whatever_surrounds_it_and_repaired_once() {
    let value = serde_json::json!({"relevance": 0.8, "summary": "s", "key_points": ["a", "b"], "evidence": []});
    let text = value.to_string();
    for fault in Fault::ALL.iter().filter(|fault| fault.as_str().starts_with("json_")) {
        let fake = FakeLlm::start().await;
        fake.when().then([Answer::text(fault.deface(&text, &value))]);
        fake.when().always(Answer::text(&text));
        let done = client(config(&fake.url())).ask_json("q").await.unwrap();
        assert!((done.value - 0.8).abs() < 1e-9, "{fault:?}");
        let calls = if *fault == Fault::JsonNone { 2 } else { 1 };
        assert_eq!((done.completion.spent.attempts, fake.requests().len()), (calls, calls as usize), "{fault:?}");
    }
}

#[tokio::test]
async fn a_repair_says_what_was_wrong_and_is_the_last_word() {
    let fake = FakeLlm::start().await;
    fake.when().always(Answer::text(r#"{"summary": "no score"}"#));
    let client = client(config(&fake.url()));
    let failed = client.ask_json("q").await.unwrap_err();
    assert_eq!(failed.error, LlmError::InvalidReply("relevance is missing".to_owned()));
    assert_eq!(failed.replies, [r#"{"summary": "no score"}"#; 2]);
    assert_eq!((failed.spent.attempts, fake.requests().len()), (2, 2));
    let messages = &fake.bodies()[1]["messages"];
    assert_eq!(messages[1]["role"], "assistant");
    assert!(messages[2]["content"].as_str().unwrap().contains("relevance is missing"));
}

#[tokio::test]
async fn a_straggler_gets_a_second_attempt() {
    let fake = FakeLlm::start().await;
    fake.when().prompt("hangs").then([Answer::silence()]);
    fake.when().always(Answer::text("good").after(40));
    let mut config = config(&fake.url());
    (config.idle_timeout, config.total_timeout) = (Duration::from_secs(30), Duration::from_secs(30));
    let client = client(config);
    let group = HedgeGroup::new(8);
    let calls = (0..8).map(|n| {
        let prompt = if n == 3 { "hangs".to_owned() } else { n.to_string() };
        client.llm.complete(Call { hedge: Some(Arc::clone(&group)), ..call(&prompt) })
    });
    let results = futures_util::future::join_all(calls).await;
    let straggler = results[3].as_ref().unwrap();
    assert_eq!((straggler.text.as_str(), straggler.spent.attempts), ("good", 2));
    assert_eq!(fake.requests().len(), 9);
    // The attempt that lost was cancelled.
    fake.until_idle().await;
}

#[tokio::test]
async fn costs_are_bounded_before_a_call() {
    let client = client(config("http://127.0.0.1:9/v1"));
    let mut call = call(&"水道".repeat(500));
    call.models = vec!["deepseek-v3.2".to_owned(), "gpt-4.1".to_owned(), "unpriced".to_owned()];
    let estimate = client.llm.estimate_cost_usd(&call);
    assert!(
        estimate > (650.0 * 2.0 + 100.0 * 8.0) / 1e6 && estimate < (1_000.0 * 2.0 + 20.0 + 100.0 * 8.0) / 1e6,
        "{estimate}"
    );
    assert!(client.llm.prices().priced("gpt-4.1") && !client.llm.prices().priced("unpriced"));
}

#[tokio::test]
async fn a_tenth_of_faults_of_every_kind_loses_nothing() {
    let rate = 0.10 / Fault::ALL.len() as f64;
    let faults = Fault::ALL.iter().map(|fault| (*fault, rate)).collect();
    let options = Options { latency: Duration::from_millis(2), faults, ..Options::default() };
    let upstream = Simulator::start(0, options).await.unwrap();
    let mut config = config(&upstream.url());
    config.max_attempts = 6;
    let client = client(config);
    let prompt =
        "<question>water fee</question>\n<document title=\"x\">\nThe water fee is due in 20 days.\n</document>";
    let calls = (0..300).map(|_| client.ask_json_within(prompt, Duration::from_secs(30)));
    let results = futures_util::future::join_all(calls).await;
    let lost: Vec<CallFailed> = results.into_iter().filter_map(Result::err).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(upstream.counts().requests() > 300, "no fault struck");
}

fn embed(texts: &[&str]) -> Embed {
    Embed {
        purpose: Purpose::Query,
        model: "text-embedding-3-small".to_owned(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        input_type: None,
        deadline: Instant::now() + Duration::from_secs(5),
        flow: Uuid::nil(),
    }
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts_and_are_counted() {
    let fake = FakeLlm::start().await;
    let mut client = client_of(&fake);
    let embedded = client.llm.embed(embed(&["水道料金", "battery"])).await.unwrap();
    assert_eq!(embedded.vectors, ["水道料金", "battery"].map(dokkai::simulate::embeddings::vector));
    let record = client.ended_call().await;
    assert_eq!((record.purpose, record.outcome, record.estimated), ("query", "ok", false));
    assert!(record.prompt_tokens > 0 && record.cost_usd > 0.0, "{record:?}");
    assert_eq!(fake.requests()[0].path, "/v1/embeddings");
}

#[tokio::test]
async fn vectors_come_although_the_upstream_fails_in_every_known_way() {
    for &fault in Fault::ALL {
        let fake = FakeLlm::start().await;
        let good = dokkai::simulate::embeddings::answer(&EmbeddingRequest {
            texts: vec!["x".to_owned()],
            ..EmbeddingRequest::default()
        });
        let broken = fault.strike(&EmbeddingRequest::default().as_chat(), good);
        fake.when().then([Answer::reply_as(broken)]);
        let mut client = client_of(&fake);
        let embedded = client.llm.embed(embed(&["x"])).await;
        assert!(embedded.is_ok(), "{}: {embedded:?}", fault.as_str());
        assert_eq!(client.ended_call().await.outcome, "ok");
    }
}

#[tokio::test]
async fn an_upstream_that_knows_no_base64_is_asked_for_numbers_from_then_on() {
    let fake = FakeLlm::start().await;
    fake.when().then([Answer::status(400, &[], r#"{"detail":"encoding_format is unknown"}"#)]);
    let client = client_of(&fake);
    for _ in 0..2 {
        client.llm.embed(embed(&["x"])).await.unwrap();
    }
    let asked: Vec<bool> = fake.bodies().iter().map(|body| body["encoding_format"].is_null()).collect();
    assert_eq!(asked, [false, true, true]);
}
