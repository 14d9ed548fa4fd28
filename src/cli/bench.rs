//! `dokkai bench`: how the configured upstream, called as the server calls it, behaves under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{CliError, json_flag, start_logs};
use crate::config::Config;
use crate::llm::{Call, CallFailed, Completion, Llm, Message, Purpose, Role, Stats};

/// Long enough for every try of one call.
const DEADLINE: Duration = Duration::from_secs(600);

pub(crate) fn command() -> Command {
    Command::new("bench")
        .about("Measure the configured upstream at several concurrencies")
        .arg(
            Arg::new("requests")
                .long("requests")
                .value_name("N")
                .default_value("100")
                .value_parser(value_parser!(u32).range(1..=1_000_000))
                .help("Requests at each concurrency"),
        )
        .arg(
            Arg::new("concurrency")
                .long("concurrency")
                .value_name("N,…")
                .default_value("1,10,20,50")
                .value_delimiter(',')
                .value_parser(value_parser!(u32).range(1..=10_000))
                .help("Requests in flight, one row each"),
        )
        .arg(Arg::new("model").long("model").value_name("MODEL").help("Instead of the analysis model"))
        .arg(
            Arg::new("prompt")
                .long("prompt")
                .value_name("TEXT")
                .default_value("Reply with the word ready.")
                .help("What each request asks; its number is added, so that no cache answers"),
        )
        .arg(
            Arg::new("max-tokens")
                .long("max-tokens")
                .value_name("N")
                .default_value("16")
                .value_parser(value_parser!(u32).range(1..))
                .help("Bound of each reply"),
        )
        .arg(json_flag())
}

/// One concurrency's figures.
#[derive(Debug, serde::Serialize)]
struct Row {
    concurrency: u32,
    requests: u32,
    failed: u32,
    /// The first failure's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    total_ms: f64,
    mean_ms: f64,
    p95_ms: f64,
    requests_per_s: f64,
    rate_limited: u64,
    retries: u64,
    connections: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost_usd: f64,
    cost_jpy: f64,
    official_jpy: f64,
}

pub(crate) async fn run(matches: &ArgMatches, config: &Config) -> Result<(), CliError> {
    start_logs(config, true);
    let requests: u32 = matches.get_one("requests").copied().unwrap_or(1);
    let levels: Vec<u32> = matches.get_many("concurrency").into_iter().flatten().copied().collect();
    let mut rows = Vec::new();
    for concurrency in levels {
        rows.push(level(matches, config, requests, concurrency).await?);
    }
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&rows).map_err(std::io::Error::other)?);
    } else {
        print(&rows);
    }
    if rows.iter().any(|row| row.failed > 0) { Err(CliError::Partial) } else { Ok(()) }
}

/// Makes all requests with so many workers, through a client of its own, so that no level profits from another's
/// connections.
async fn level(matches: &ArgMatches, config: &Config, requests: u32, concurrency: u32) -> Result<Row, CliError> {
    let mut llm = config.llm.clone();
    llm.max_concurrent = usize::try_from(concurrency).unwrap_or(usize::MAX);
    let (ledger, _records) = mpsc::unbounded_channel();
    let llm = Arc::new(Llm::new(llm, ledger).map_err(|error| CliError::Server(error.to_string()))?);
    let model = matches.get_one::<String>("model").cloned();
    let models = model.map_or_else(|| config.llm.analysis_models.clone(), |model| vec![model]);
    let prompt = matches.get_one::<String>("prompt").cloned().unwrap_or_default();
    let max_tokens = matches.get_one("max-tokens").copied().unwrap_or(16);
    let call = move |number: usize| Call {
        purpose: Purpose::Generation,
        models: models.clone(),
        messages: vec![Message { role: Role::User, content: format!("{prompt} ({number})") }],
        max_tokens,
        temperature: 0.0,
        json: None,
        deadline: tokio::time::Instant::now() + DEADLINE,
        flow: Uuid::now_v7(),
        hedge: None,
        gate: None,
    };
    let bar =
        ProgressBar::new(u64::from(requests)).with_style(style()).with_message(format!("{concurrency} at a time"));
    let next = Arc::new(AtomicUsize::new(0));
    let count = usize::try_from(requests).unwrap_or(usize::MAX);
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency.min(requests) {
        let (llm, next, bar, call) = (Arc::clone(&llm), Arc::clone(&next), bar.clone(), call.clone());
        workers.spawn(async move {
            let mut results = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return results;
                }
                results.push(llm.complete(call(number)).await);
                bar.inc(1);
            }
        });
    }
    let results: Vec<Result<Completion, CallFailed>> = workers.join_all().await.into_iter().flatten().collect();
    let total = started.elapsed();
    bar.finish_and_clear();
    Ok(row(&llm, concurrency, total, &results))
}

fn row(llm: &Llm, concurrency: u32, total: Duration, results: &[Result<Completion, CallFailed>]) -> Row {
    let stats: Stats = llm.stats();
    let spent = |result: &Result<Completion, CallFailed>| match result {
        Ok(done) => done.spent.clone(),
        Err(failed) => failed.spent.clone(),
    };
    let mut usage = crate::model::Usage::default();
    let mut latencies: Vec<f64> = Vec::with_capacity(results.len());
    for result in results {
        let spent = spent(result);
        usage.add(&spent.usage);
        latencies.push(spent.latency.as_secs_f64() * 1000.0);
    }
    latencies.sort_by(f64::total_cmp);
    let requests = u32::try_from(results.len()).unwrap_or(u32::MAX);
    let failures = || results.iter().filter_map(|result| result.as_ref().err());
    // The nearest-rank percentile.
    let p95 = latencies.get((latencies.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    Row {
        concurrency,
        requests,
        failed: u32::try_from(failures().count()).unwrap_or(u32::MAX),
        error: failures().next().map(|failed| failed.error.to_string()),
        total_ms: total.as_secs_f64() * 1000.0,
        mean_ms: latencies.iter().sum::<f64>() / f64::from(requests.max(1)),
        p95_ms: p95,
        requests_per_s: f64::from(requests) / total.as_secs_f64().max(1e-9),
        rate_limited: stats.rate_limited,
        retries: stats.retries,
        connections: stats.connections,
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        cost_usd: usage.cost_usd,
        cost_jpy: usage.cost_jpy,
        official_jpy: llm.prices().official_jpy(usage.cost_usd),
    }
}

fn print(rows: &[Row]) {
    println!(
        "{:>11} {:>8} {:>6} {:>10} {:>9} {:>9} {:>8} {:>5} {:>7} {:>11} {:>10}",
        "concurrency",
        "requests",
        "failed",
        "total ms",
        "mean ms",
        "p95 ms",
        "req/s",
        "429s",
        "retries",
        "connections",
        "USD"
    );
    for row in rows {
        println!(
            "{:>11} {:>8} {:>6} {:>10.0} {:>9.1} {:>9.1} {:>8.1} {:>5} {:>7} {:>11} {:>10.6}",
            row.concurrency,
            row.requests,
            row.failed,
            row.total_ms,
            row.mean_ms,
            row.p95_ms,
            row.requests_per_s,
            row.rate_limited,
            row.retries,
            row.connections,
            row.cost_usd
        );
    }
    for row in rows {
        if let Some(error) = &row.error {
            eprintln!("{} at a time: {error}", row.concurrency);
        }
    }
    let total: f64 = rows.iter().map(|row| row.cost_usd).sum();
    let (billed, official) = rows.iter().fold((0.0, 0.0), |(b, o), row| (b + row.cost_jpy, o + row.official_jpy));
    println!("cost ${total:.6}, billed ¥{billed:.6}; at the official rate ¥{official:.6}");
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:>15} {wide_bar} {pos}/{len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
