//! `GET /api/search`.

use actix_web::web::{Data, Json, Query};
use serde::Deserialize;

use super::error::ApiError;
use crate::answer::{self, Find, Found, SearchMode};
use crate::app::App;

#[derive(Deserialize)]
pub(super) struct SearchParams {
    #[serde(default)]
    q: String,
    limit: Option<usize>,
    collection: Option<String>,
    /// The reply's `mode` says what was done.
    mode: Option<SearchMode>,
}

pub(super) async fn search(app: Data<App>, params: Query<SearchParams>) -> Result<Json<Found>, ApiError> {
    let params = params.into_inner();
    let collection = params.collection.filter(|name| !name.is_empty());
    let find = Find { query: params.q, limit: params.limit.unwrap_or(10), collection, mode: params.mode };
    Ok(Json(answer::find(&app, find).await?))
}
