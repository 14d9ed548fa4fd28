//! The body of an upload: a form with files, or JSON with texts. Files wait on disk, so that memory holds none of
//! them however large they are or many a request brings.

use actix_multipart::{Field, Multipart};
use actix_web::HttpRequest;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::error::too_large;
use crate::config::Config;
use crate::error::{Code, Problem};
use crate::ingest::{About, Spool, Spooled, Upload};
use crate::model::Metadata;

/// Files of one request.
const MAX_FILES: usize = 1_000;

/// Bound of a form's fields that are not files, in bytes.
const FIELD_LIMIT: usize = 256 * 1024;

/// Bound of texts that come as JSON, in bytes; larger ones come as files.
const JSON_LIMIT: usize = 128 * 1024 * 1024;

/// A request may be as large as this many files of the largest size.
const REQUEST_FILES: usize = 20;

/// One file of a request.
pub(super) enum Received {
    /// Taken in.
    File(Box<Upload>),
    /// Refused; the others go on.
    Refused {
        /// What the client called it.
        title: String,
        /// Why.
        problem: Problem,
    },
}

impl Received {
    /// What to call it in the reply, whatever becomes of it.
    pub(super) fn shown_title(&self) -> String {
        match self {
            Self::File(file) => file.about.title.clone().or(file.about.file_name.clone()).unwrap_or_default(),
            Self::Refused { title, .. } => title.clone(),
        }
    }
}

/// Reads an upload's body.
///
/// # Errors
/// Where the body as a whole cannot be read; a single bad file is `Refused` instead.
pub(super) async fn receive(
    config: &Config,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Vec<Received>, Problem> {
    let media_type = actix_web::HttpMessage::content_type(request).to_ascii_lowercase();
    let received = if media_type == "multipart/form-data" {
        form(config, Multipart::new(request.headers(), payload)).await?
    } else if media_type == "application/json" || media_type.ends_with("+json") {
        json(config, payload).await?
    } else {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "send files as multipart/form-data with `file` parts, or texts as application/json",
        ));
    };
    if received.is_empty() {
        return Err(Problem::parameter("file", "the request holds no document; add a `file` part or a `text`"));
    }
    Ok(received)
}

async fn form(config: &Config, mut form: Multipart) -> Result<Vec<Received>, Problem> {
    let mut received: Vec<Part> = Vec::new();
    let mut about = About::default();
    let mut sources = Vec::new();
    let mut left = config.max_upload_bytes.saturating_mul(REQUEST_FILES);
    while let Some(field) = form.next().await {
        let mut field = field.map_err(broken)?;
        let name = field.name().unwrap_or_default().to_owned();
        let file_name =
            field.content_disposition().and_then(|disposition| disposition.get_filename().map(str::to_owned));
        match name.as_str() {
            "collection" => about.collection = Some(text_field(&mut field, &name).await?),
            "title" => about.title = Some(text_field(&mut field, &name).await?),
            "source" => sources.push(text_field(&mut field, &name).await?),
            "metadata" => {
                let text = text_field(&mut field, &name).await?;
                about.metadata = serde_json::from_str(&text)
                    .map_err(|_| Problem::parameter("metadata", "metadata must be a JSON object"))?;
            }
            // Clients differ: `file`, `file[]`, `files`.
            _ if name.starts_with("file") || file_name.is_some() => {
                if received.len() == MAX_FILES {
                    return Err(Problem::new(
                        Code::TooLarge,
                        format!("one request may hold {MAX_FILES} files; send the others in another"),
                    ));
                }
                let media_type = field.content_type().map(ToString::to_string);
                let spooled = spool(config, &mut left, &mut field).await?;
                received.push(Part { name: file_name.unwrap_or_default(), media_type, spooled });
            }
            _ => {
                // Unknown fields are read past.
                text_field(&mut field, &name).await?;
            }
        }
    }
    if sources.len() > 1 && sources.len() != received.len() {
        let message = "source must be given once for all files, or once for each, in their order";
        return Err(Problem::parameter("source", message));
    }
    let alone = received.len() == 1;
    let file = |(place, part): (usize, Part)| match part.spooled {
        Ok(content) => Received::File(Box::new(Upload {
            content,
            about: About {
                file_name: Some(part.name).filter(|name| !name.is_empty()),
                media_type: part.media_type,
                // One title cannot name several files.
                title: about.title.clone().filter(|_| alone),
                source: if sources.len() > 1 { sources.get(place).cloned() } else { sources.first().cloned() },
                ..about.clone()
            },
        })),
        Err(problem) => Received::Refused { title: part.name, problem },
    };
    Ok(received.into_iter().enumerate().map(file).collect())
}

/// A file part of a form.
struct Part {
    name: String,
    media_type: Option<String>,
    spooled: Result<Spooled, Problem>,
}

async fn text_field(field: &mut Field, name: &str) -> Result<String, Problem> {
    let bytes = field.bytes(FIELD_LIMIT).await.map_err(|_| too_large("field").at(name))?.map_err(broken)?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::parameter(name, format!("{name} must be UTF-8")))
}

/// Takes in a part. A file over the limit is read past, so that the files behind it are still seen.
async fn spool(config: &Config, left: &mut usize, field: &mut Field) -> Result<Result<Spooled, Problem>, Problem> {
    let mut spool = Some(Spool::new(&config.data_dir));
    let mut size: usize = 0;
    while let Some(chunk) = field.next().await {
        let chunk = chunk.map_err(broken)?;
        *left = left.checked_sub(chunk.len()).ok_or_else(|| too_large("request"))?;
        size = size.saturating_add(chunk.len());
        if size > config.max_upload_bytes {
            spool = None;
        }
        if let Some(spool) = &mut spool {
            spool.write(&chunk).await?;
        }
    }
    match spool {
        Some(spool) => spool.finish().await.map(Ok),
        None => Ok(Err(too_large("file"))),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonBody {
    Many { documents: Vec<serde_json::Value> },
    One(serde_json::Value),
}

/// A document that is a text.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct TextBody {
    /// Shown in lists; found in the text where it is left out.
    title: Option<String>,
    /// What it says.
    text: String,
    /// The named set that it belongs to; `default` where it is left out.
    collection: Option<String>,
    /// The client's own fields.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    /// Where it came from: a file's path or an address.
    source: Option<String>,
}

/// One text, or many.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read one by one, so that a bad text does not spoil the others")]
pub(in crate::http) enum TextsBody {
    /// One.
    One(TextBody),
    /// Many.
    Many {
        /// In any order; the reply keeps it.
        documents: Vec<TextBody>,
    },
}

/// Files, and what is said of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form, which is read part by part")]
pub(in crate::http) struct UploadForm {
    /// The files; the part may come many times.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
    /// Only where there is one file.
    title: Option<String>,
    /// The named set that they belong to; `default` where it is left out.
    collection: Option<String>,
    /// The client's own fields.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    /// Where they came from: once for all, or once for each in their order.
    source: Option<Vec<String>>,
}

async fn json(config: &Config, mut payload: Payload) -> Result<Vec<Received>, Problem> {
    let mut body = BytesMut::new();
    // JSON escapes may double a text's size. Unlike a file, it has to be in memory as a whole.
    let most = config.max_upload_bytes.saturating_mul(2).min(JSON_LIMIT);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(broken)?;
        if body.len() + chunk.len() > most {
            return Err(too_large("body"));
        }
        body.extend_from_slice(&chunk);
    }
    let body: JsonBody = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the body is not JSON: {error}")))?;
    let documents = match body {
        JsonBody::Many { documents } => documents,
        JsonBody::One(document) => vec![document],
    };
    let limit = config.max_upload_bytes;
    Ok(documents.into_iter().map(|document| json_document(limit, document)).collect())
}

fn json_document(limit: usize, document: serde_json::Value) -> Received {
    let title = document.get("title").and_then(|title| title.as_str()).unwrap_or_default().to_owned();
    let document: TextBody = match serde_json::from_value(document) {
        Ok(document) => document,
        Err(error) => {
            let problem = Problem::new(
                Code::InvalidRequest,
                format!("a document needs a `text` and fields of the right kind: {error}"),
            );
            return Received::Refused { title, problem };
        }
    };
    if document.text.len() > limit {
        return Received::Refused { title, problem: too_large("text") };
    }
    Received::File(Box::new(Upload {
        content: Bytes::from(document.text).into(),
        about: About {
            title: document.title,
            collection: document.collection,
            metadata: document.metadata.unwrap_or_default(),
            source: document.source,
            media_type: Some("text/plain".to_owned()),
            file_name: None,
        },
    }))
}

fn broken(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidRequest, format!("the body cannot be read: {error}"))
}
