//! `POST /v1/embeddings`: texts to vectors by the configured model, through the same limits as every upstream call.

use actix_web::web::{Data, Json};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::MODEL;
use crate::app::App;
use crate::error::{Code, Problem};
use crate::http::error::{ApiError, call_problem};
use crate::llm::{Embed, Purpose};

/// Texts of one request, as with OpenAI.
const MOST_TEXTS: usize = 2_048;

/// What OpenAI's clients send, as far as it matters here.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct EmbeddingsBody {
    input: Input,
    /// The configured embedding model, or `dokkai` for it.
    model: Option<String>,
    #[serde(default)]
    encoding_format: EncodingFormat,
}

/// One text, or many.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// How vectors are written.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    /// As numbers.
    #[default]
    Float,
    /// As the bytes of 32-bit numbers, smallest first.
    Base64,
}

/// Turn texts into vectors.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "chat frontends and agents",
    request_body(content = EmbeddingsBody, example = json!({"input": ["When is the water bill due?"]})),
    responses((status = 200, description = "as OpenAI defines it", body = Object)),
)]
pub(in crate::http) async fn embeddings(app: Data<App>, body: Json<EmbeddingsBody>) -> Result<Json<Value>, ApiError> {
    let EmbeddingsBody { input, model, encoding_format } = body.into_inner();
    let configured = app.config.llm.embedding_model.as_deref().ok_or_else(|| {
        Problem::new(Code::NoEmbeddingModel, "this server has no embedding model; set DOKKAI_EMBEDDING_MODEL")
    })?;
    if model.is_some_and(|model| !["", MODEL, configured].contains(&model.as_str())) {
        let message = format!("model must be {configured}, the one that this server is configured with");
        return Err(Problem::parameter("model", message).into());
    }
    let texts = match input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    if !(1..=MOST_TEXTS).contains(&texts.len()) || texts.iter().any(|text| text.trim().is_empty()) {
        let message = format!("input must hold 1 to {MOST_TEXTS} texts, none of them empty");
        return Err(Problem::parameter("input", message).into());
    }
    let embed = Embed {
        purpose: Purpose::Generation,
        model: configured.to_owned(),
        texts,
        input_type: None,
        deadline: Instant::now() + app.config.answer_deadline,
        flow: Uuid::now_v7(),
    };
    let embedded = app.llm.embed(embed).await.map_err(call_problem)?;
    let vectors = embedded.vectors.iter().zip(0..);
    let data: Vec<Value> = vectors
        .map(|(vector, index)| json!({"object": "embedding", "index": index, "embedding": shown(vector, encoding_format)}))
        .collect();
    let tokens = embedded.spent.usage.prompt_tokens;
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(Json(json!({"object": "list", "model": configured, "data": data, "usage": usage})))
}

fn shown(vector: &[f32], format: EncodingFormat) -> Value {
    match format {
        EncodingFormat::Float => json!(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            BASE64_STANDARD.encode(bytes).into()
        }
    }
}
