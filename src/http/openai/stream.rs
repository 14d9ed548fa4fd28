//! A question's events as `chat.completion.chunk`s.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};

use super::{Envelope, counts, reasoning, sources};
use crate::http::error;
use crate::http::events::failure;
use crate::live::Seen;
use crate::model::{Citation, Event, QuestionRecord, Usage};

/// Between comments on a silent stream, so that no proxy closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What the client asked for beside the answer.
pub(super) struct Options {
    pub(super) include_usage: bool,
    pub(super) reasoning: bool,
    pub(super) events: bool,
    /// Where links to the page begin.
    pub(super) page: String,
}

/// A text that is there already, as a stream.
pub(super) fn whole(envelope: &Envelope, text: &str, usage: Option<&Usage>) -> HttpResponse {
    let mut parts = vec![
        envelope.chunk(&json!({"role": "assistant", "content": ""}), None),
        envelope.chunk(&json!({"content": text}), None),
        envelope.chunk(&json!({}), Some("stop")),
    ];
    parts.extend(usage.map(|usage| envelope.usage(usage)));
    parts.push(end());
    respond(stream::iter(parts.into_iter().map(Ok)))
}

/// A question's answer as it is made.
pub(super) fn answer(
    envelope: Envelope,
    options: Options,
    events: Pin<Box<impl Stream<Item = (Seen, Event)> + 'static>>,
) -> HttpResponse {
    let mut chunks =
        Chunks { envelope, options, content: String::new(), marks: sources::Marks::default(), progress: (0, 0) };
    let opening = chunks.envelope.chunk(&json!({"role": "assistant", "content": ""}), None);
    told(events, opening, move |event| chunks.of(event), Some(end()))
}

/// A question's events in a client's own: what comes first, what tells of each event, and what comes last.
pub(super) fn told(
    mut events: Pin<Box<impl Stream<Item = (Seen, Event)> + 'static>>,
    first: Bytes,
    mut tell: impl FnMut(Event) -> Vec<Bytes> + 'static,
    last: Option<Bytes>,
) -> HttpResponse {
    let mut silence = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    respond(async_stream::stream! {
        yield Ok(first);
        loop {
            tokio::select! {
                next = events.next() => match next {
                    Some((_, event)) => {
                        silence.reset();
                        for part in tell(event) {
                            yield Ok(part);
                        }
                    }
                    None => break,
                },
                _ = silence.tick() => yield Ok(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
        if let Some(last) = last {
            yield Ok(last);
        }
    })
}

pub(super) fn respond(body: impl Stream<Item = Result<Bytes, Infallible>> + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body)
}

/// What has been sent so far, as later chunks need it.
struct Chunks {
    envelope: Envelope,
    options: Options,
    content: String,
    marks: sources::Marks,
    /// Documents analysed, and how many there are.
    progress: (usize, usize),
}

impl Chunks {
    /// The chunks that tell of one event.
    fn of(&mut self, event: Event) -> Vec<Bytes> {
        match event {
            Event::Accepted(_) => self.status("searching", false),
            Event::Retrieval(documents) => {
                self.progress = (0, documents.len());
                self.analysing()
            }
            Event::Analysis(analysis) => {
                self.progress.0 += 1;
                let mut parts = self.analysing();
                if self.options.reasoning {
                    parts.push(self.envelope.chunk(&json!({"reasoning_content": reasoning(&analysis)}), None));
                }
                parts
            }
            Event::Delta(text) => {
                let text = self.marks.next(&text);
                self.content.push_str(&text);
                vec![self.envelope.chunk(&json!({"content": text}), None)]
            }
            Event::Done(record) => self.done(&record),
            Event::Error(problem) => vec![line(&error::body(&problem))],
        }
    }

    fn done(&mut self, record: &QuestionRecord) -> Vec<Bytes> {
        if let Some(problem) = failure(record) {
            return vec![line(&error::body(&problem))];
        }
        let sources::End { rest, citations, annotations, list } =
            self.marks.end(&self.options.page, &mut self.content, record);
        let mut parts = self.status("done", true);
        if !rest.is_empty() {
            parts.push(self.envelope.chunk(&json!({"content": rest}), None));
        }
        if self.options.events {
            parts.extend(citations.iter().map(|citation| self.source(citation)));
        }
        if !list.is_empty() {
            parts.push(self.envelope.chunk(&json!({"content": list, "annotations": annotations}), None));
        }
        parts.push(self.envelope.chunk(&json!({}), Some("stop")));
        if self.options.include_usage {
            parts.push(self.envelope.usage(&record.usage));
        }
        parts
    }

    fn analysing(&self) -> Vec<Bytes> {
        let (done, all) = self.progress;
        self.status(&format!("analysing {done}/{all}"), false)
    }

    /// The frontend's line above an answer.
    fn status(&self, description: &str, done: bool) -> Vec<Bytes> {
        if !self.options.events {
            return Vec::new();
        }
        vec![self.event(&json!({"type": "status", "data": {"description": description, "done": done}}))]
    }

    /// The frontend's source beside an answer.
    fn source(&self, citation: &Citation) -> Bytes {
        let url = sources::address(&self.options.page, citation);
        self.event(&json!({"type": "source", "data": {
            "source": {"id": citation.document_id, "name": citation.title, "url": url},
            "document": [citation.quote],
            "metadata": [{"source": url, "name": citation.title, "page": citation.page}],
        }}))
    }

    fn event(&self, event: &Value) -> Bytes {
        let mut chunk = self.envelope.head();
        chunk["choices"] = json!([]);
        chunk["event"] = event.clone();
        line(&chunk)
    }
}

impl Envelope {
    fn head(&self) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model})
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Bytes {
        let mut chunk = self.head();
        chunk["choices"] = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
        line(&chunk)
    }

    fn usage(&self, usage: &Usage) -> Bytes {
        let mut chunk = self.head();
        chunk["choices"] = json!([]);
        chunk["usage"] = counts(usage);
        line(&chunk)
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

fn end() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}
