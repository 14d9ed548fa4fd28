//! A scripted upstream on the wire. Rules are asked in the order they were given; the first that fits and still has
//! replies answers. What no rule covers gets the simulator's sensible answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dokkai::simulate::embeddings::{self, EmbeddingRequest};
use dokkai::simulate::protocol::{self, ChatRequest};
use dokkai::simulate::server::{Body, Ending, Reply, Request, Server};
use serde_json::Value;

/// A running fake upstream.
pub(crate) struct FakeLlm {
    server: Server,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    rules: Vec<Rule>,
    requests: Vec<Request>,
}

struct Rule {
    model: Option<String>,
    prompt: Option<String>,
    replies: Vec<Answer>,
    /// Whether the last reply goes on for ever.
    endless: bool,
}

/// What a scripted request gets; built with verbs: `Answer::text("…").after(ms)`.
#[derive(Clone)]
pub(crate) struct Answer {
    kind: Kind,
    delay: Duration,
    ending: Ending,
}

#[derive(Clone)]
enum Kind {
    Sensible,
    Text(String),
    Tokens(Vec<String>, Duration),
    Refusal,
    Status(u16, Vec<(String, String)>, String),
    Whole(Box<Reply>),
}

impl Answer {
    fn new(kind: Kind) -> Self {
        Self { kind, delay: Duration::ZERO, ending: Ending::Complete }
    }

    /// The simulator's own answer.
    pub(crate) fn sensible() -> Self {
        Self::new(Kind::Sensible)
    }

    /// A completion, streamed in one token if the request asks for a stream.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::new(Kind::Text(text.into()))
    }

    /// A completion in tokens.
    pub(crate) fn tokens(tokens: &[&str]) -> Self {
        Self::new(Kind::Tokens(tokens.iter().map(|t| (*t).to_owned()).collect(), Duration::ZERO))
    }

    /// A completion in tokens with a pause before each.
    pub(crate) fn slow_tokens(tokens: &[&str], pause_ms: u64) -> Self {
        let tokens = tokens.iter().map(|t| (*t).to_owned()).collect();
        Self::new(Kind::Tokens(tokens, Duration::from_millis(pause_ms)))
    }

    /// The model declines.
    pub(crate) fn refusal() -> Self {
        Self::new(Kind::Refusal)
    }

    /// Any status and body.
    pub(crate) fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::new(Kind::Status(status, headers, body.to_owned()))
    }

    /// Any 200 body, as it stands.
    pub(crate) fn body(body: &str) -> Self {
        Self::status(200, &[("content-type", "application/json")], body)
    }

    /// Any reply, as it stands.
    pub(crate) fn reply_as(reply: Reply) -> Self {
        Self { ending: reply.ending, ..Self::new(Kind::Whole(Box::new(reply))) }
    }

    /// Nothing, until the client leaves.
    pub(crate) fn silence() -> Self {
        Self { ending: Ending::Silence, ..Self::sensible() }
    }

    /// A connection reset instead of an answer.
    pub(crate) fn reset() -> Self {
        Self { ending: Ending::Reset, ..Self::sensible() }
    }

    /// The answer after a delay.
    pub(crate) fn after(self, ms: u64) -> Self {
        Self { delay: Duration::from_millis(ms), ..self }
    }

    /// The connection closes after so many bytes of the body.
    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        Self { ending: Ending::CutAfter(bytes), ..self }
    }

    /// Silence after so many bytes of the body.
    pub(crate) fn stall_after(self, bytes: usize) -> Self {
        Self { ending: Ending::StallAfter(bytes), ..self }
    }

    fn reply(&self, request: &ChatRequest, embedding: Option<&EmbeddingRequest>) -> Reply {
        let mut reply = match &self.kind {
            Kind::Sensible if let Some(embedding) = embedding => embeddings::answer(embedding),
            Kind::Sensible => dokkai::simulate::answer(request, Duration::ZERO),
            Kind::Text(text) if request.stream => protocol::streamed(request, &[text], Duration::ZERO),
            Kind::Text(text) => protocol::whole(request, text),
            Kind::Tokens(tokens, pause) => {
                let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
                if request.stream {
                    protocol::streamed(request, &tokens, *pause)
                } else {
                    protocol::whole(request, &tokens.concat())
                }
            }
            Kind::Refusal => protocol::refusal(request),
            Kind::Whole(reply) => Reply::clone(reply),
            Kind::Status(status, headers, body) => Reply {
                delay: Duration::ZERO,
                status: *status,
                headers: headers.clone(),
                body: Body::Whole(body.clone().into_bytes()),
                ending: Ending::Complete,
            },
        };
        reply.delay += self.delay;
        reply.ending = self.ending;
        reply
    }
}

/// A rule that is still being said.
pub(crate) struct When<'a> {
    fake: &'a FakeLlm,
    model: Option<String>,
    prompt: Option<String>,
}

impl When<'_> {
    /// Only requests to this model.
    pub(crate) fn model(self, model: &str) -> Self {
        Self { model: Some(model.to_owned()), ..self }
    }

    /// Only requests whose messages hold this text.
    pub(crate) fn prompt(self, text: &str) -> Self {
        Self { prompt: Some(text.to_owned()), ..self }
    }

    /// These replies, one a request; then the rule is over.
    pub(crate) fn then(self, replies: impl IntoIterator<Item = Answer>) {
        self.rule(replies.into_iter().collect(), false);
    }

    /// This reply to every request.
    pub(crate) fn always(self, reply: Answer) {
        self.rule(vec![reply], true);
    }

    fn rule(self, replies: Vec<Answer>, endless: bool) {
        let rule = Rule { model: self.model, prompt: self.prompt, replies, endless };
        self.fake.script.lock().unwrap().rules.push(rule);
    }
}

impl FakeLlm {
    /// Starts one on a free port; it stops when dropped.
    pub(crate) async fn start() -> Self {
        let script: Arc<Mutex<Script>> = Arc::default();
        let answering = Arc::clone(&script);
        let server = Server::start(0, Arc::new(move |request| answer(&answering, request))).await.unwrap();
        Self { server, script }
    }

    /// What `DOKKAI_LLM_BASE_URL` should be.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.server.address())
    }

    /// Begins a rule.
    pub(crate) fn when(&self) -> When<'_> {
        When { fake: self, model: None, prompt: None }
    }

    /// Every chat request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.script.lock().unwrap().requests.clone()
    }

    /// The requests' bodies.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.server.counts().connections()
    }

    /// Requests being answered now.
    pub(crate) fn in_flight(&self) -> usize {
        self.server.counts().in_flight()
    }

    /// Waits until no request is being answered.
    pub(crate) async fn until_idle(&self) {
        let idle = async {
            while self.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), idle).await.expect("a request is still being answered");
    }

    /// The most requests that were being answered at the same time.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.server.counts().most_in_flight()
    }
}

fn answer(script: &Mutex<Script>, request: Request) -> Reply {
    let embedding = EmbeddingRequest::read(&request.body).filter(|_| request.path.ends_with("/embeddings"));
    let chat = ChatRequest::read(&request.body).filter(|_| request.path.ends_with("/chat/completions"));
    let Some(chat) = chat.or(embedding.as_ref().map(EmbeddingRequest::as_chat)) else {
        return dokkai::simulate::other(&request);
    };
    let mut script = script.lock().unwrap();
    script.requests.push(request);
    let prompt = chat.prompt();
    let rule = script.rules.iter_mut().find(|rule| {
        !rule.replies.is_empty()
            && rule.model.as_ref().is_none_or(|model| *model == chat.model)
            && rule.prompt.as_ref().is_none_or(|text| prompt.contains(text.as_str()))
    });
    match rule {
        Some(rule) if rule.endless => rule.replies[0].reply(&chat, embedding.as_ref()),
        Some(rule) => rule.replies.remove(0).reply(&chat, embedding.as_ref()),
        None => Answer::sensible().reply(&chat, embedding.as_ref()),
    }
}
