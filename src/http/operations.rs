//! Health, figures and usage.

use std::sync::atomic::Ordering;
use std::sync::{LazyLock, PoisonError};

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Query};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::app::App;
use crate::error::{Code, Problem};
use crate::store::DailyUsage;

/// The process has one recorder of figures, as the `metrics` crate has it.
static METRICS: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];
    let builder = PrometheusBuilder::new().set_buckets(&buckets).ok()?;
    builder.install_recorder().ok()
});

/// Starts counting.
pub(super) fn install_metrics() {
    LazyLock::force(&METRICS);
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses((status = 200, body = Object, example = json!({"status": "ok"}))))]
pub(super) async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// Whether store and index can be used.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()), responses((status = 200, body = Object, example = json!({"status": "ok", "mode": "model", "changes_to_index": 0, "embedding": null}))))]
pub(super) async fn readyz(app: Data<App>) -> Result<Json<serde_json::Value>, ApiError> {
    app.store.check().await?;
    let applied = app.search.applied().await.map_err(Problem::from)?;
    let last = app.store.last_change().await?;
    let embedding = match &app.config.llm.embedding_model {
        Some(model) => json!({
            "model": model,
            "vectors": app.vectors.len(),
            "up_to_date": app.embedding.up_to_date.load(Ordering::Acquire)
                && app.embedding.followed.load(Ordering::Acquire) >= last,
            "problem": *app.embedding.problem.lock().unwrap_or_else(PoisonError::into_inner),
        }),
        None => serde_json::Value::Null,
    };
    let mode = if app.llm.is_configured() { "model" } else { "extractive" };
    Ok(Json(
        json!({"status": "ok", "mode": mode, "changes_to_index": last.saturating_sub(applied), "embedding": embedding}),
    ))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(app: Data<App>) -> Result<HttpResponse, ApiError> {
    let handle = METRICS
        .as_ref()
        .ok_or_else(|| Problem::new(Code::Internal, "figures are not counted; another recorder is installed"))?;
    metrics::gauge!("dokkai_questions_running").set(u32::try_from(app.live.count()).unwrap_or(u32::MAX));
    handle.run_upkeep();
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(handle.render()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageParams {
    days: Option<u32>,
}

/// Usage by day and model, and the sums.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageReport {
    days: u32,
    usage: Vec<DailyUsage>,
    total: UsageTotal,
}

#[derive(Default, Serialize, ToSchema)]
struct UsageTotal {
    calls: u64,
    failed: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost_usd: f64,
    cost_jpy: f64,
    /// What the same tokens cost at the official rate.
    official_cost_jpy: f64,
}

/// Tokens and cost by day and model.
#[utoipa::path(get, path = "/api/usage", tag = "operations", params(UsageParams), responses((status = 200, body = UsageReport)))]
pub(super) async fn usage(app: Data<App>, params: Query<UsageParams>) -> Result<Json<UsageReport>, ApiError> {
    let days = params.days.unwrap_or(30);
    if !(1..=3_650).contains(&days) {
        return Err(Problem::parameter("days", "days must be from 1 to 3650").into());
    }
    // Whole days (UTC), today included.
    let since = OffsetDateTime::now_utc().replace_time(time::Time::MIDNIGHT) - Duration::days(i64::from(days) - 1);
    app.llm.calls_kept().await;
    let usage = app.store.usage_since(since).await?;
    let mut total = UsageTotal::default();
    for day in &usage {
        total.calls += day.calls;
        total.failed += day.failed;
        total.prompt_tokens += day.prompt_tokens;
        total.completion_tokens += day.completion_tokens;
        total.cost_usd += day.cost_usd;
        total.cost_jpy += day.cost_jpy;
    }
    total.official_cost_jpy = total.cost_usd * app.config.llm.official_jpy_per_usd;
    Ok(Json(UsageReport { days, usage, total }))
}
