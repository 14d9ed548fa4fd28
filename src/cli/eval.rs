//! `dokkai eval`: how well retrieval works on a judged collection. The collection is ingested into a data folder of its
//! own through the same API as any other documents, then every query is searched for, one after the other.
//! With `--answers`, how well questions are answered: see [`answers`].

mod answers;
mod collection;
mod fill;
mod measure;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use self::collection::{Collection, Query};
use self::fill::Filled;
use self::measure::{Difference, MEASURES, Measures, percentile};
use super::client::Client;
use super::session::Session;
use super::{CliError, json_flag, start_logs};
use crate::answer::{Found, SearchMode};
use crate::config::Config;

/// As deep as the measures look.
const DEPTH: &str = "100";

/// Between looks at how far the embeddings are.
const POLL: Duration = Duration::from_millis(200);

/// What a run found, as `--json` prints it and `--baseline` reads it.
#[derive(Serialize, Deserialize)]
struct Report {
    collection: String,
    mode: String,
    documents: usize,
    documents_failed: usize,
    queries: usize,
    /// Queries that the server refused or could not answer; they count as having found nothing.
    queries_failed: usize,
    /// Queries that were answered by words alone although hybrid retrieval was wanted.
    queries_degraded: usize,
    measures: Measures,
    by_language: BTreeMap<String, LanguagePart>,
    /// Per query, the way to the server and back included.
    milliseconds: Times,
    per_query: Vec<QueryResult>,
}

#[derive(Serialize, Deserialize)]
struct LanguagePart {
    queries: usize,
    measures: Measures,
}

#[derive(Serialize, Deserialize)]
struct Times {
    p50: f64,
    p99: f64,
}

#[derive(Serialize, Deserialize)]
struct QueryResult {
    id: String,
    language: String,
    #[serde(flatten)]
    measures: Measures,
    milliseconds: f64,
    /// What was found, best first, as far as the measures look.
    #[serde(default)]
    ranking: Vec<String>,
}

pub(super) fn command() -> Command {
    let folder = |name: &'static str, long: &'static str| {
        Arg::new(name).long(long).value_name("FOLDER").value_parser(clap::value_parser!(PathBuf))
    };
    Command::new("eval")
        .about("Measure retrieval on a judged collection (BEIR's form, or real files with judgements), or answers")
        .arg(
            Arg::new("folder")
                .required_unless_present("answers")
                .conflicts_with("answers")
                .value_name("BEIR_DIR")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Folder of queries.jsonl, qrels/SPLIT.tsv, and corpus.jsonl or a folder files"),
        )
        .arg(
            Arg::new("mode")
                .long("mode")
                .value_parser(PossibleValuesParser::new(["lexical", "hybrid"]))
                .help("How to search; the server's own choice where it is not given"),
        )
        .arg(Arg::new("split").long("split").default_value("test").value_name("NAME").help("Which judgements"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(clap::value_parser!(u32).range(1..))
                .help("Only the first queries or questions"),
        )
        .arg(folder("keep", "keep").help("Keep documents, index and vectors in this folder, and use them again"))
        .arg(
            Arg::new("baseline")
                .long("baseline")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Compare with an earlier run's --json, by a paired bootstrap"),
        )
        .args(answers::args())
        .arg(json_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    if let Some(questions) = matches.get_one::<PathBuf>("answers") {
        return answers::run(questions, matches, config).await;
    }
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let path = |name: &str| matches.get_one::<PathBuf>(name);
    let Some(folder) = path("folder") else { return Err(CliError::Usage("name the collection's folder".to_owned())) };
    let baseline: Option<Report> = path("baseline").map(|path| read_report(path)).transpose()?;
    let mut collection = Collection::open(folder, text("split").unwrap_or("test"))?;
    if let Some(limit) = matches.get_one::<u32>("limit") {
        collection.queries.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
    }
    if text("mode") == Some("hybrid") && config.llm.embedding_model.is_none() {
        return Err(CliError::Usage("hybrid retrieval needs DOKKAI_EMBEDDING_MODEL".to_owned()));
    }
    // Dropped, and with it removed, when the run is over.
    let scratch = path("keep").is_none().then(tempfile::tempdir).transpose()?;
    let keep = path("keep").cloned().or(scratch.as_ref().map(|folder| folder.path().to_owned())).unwrap_or_default();
    std::fs::create_dir_all(&keep)?;
    let session = Session::start(Config { data_dir: keep.clone(), ..config }).await?;
    let report = evaluate(&session.client, &collection, &keep, folder, text("mode")).await;
    session.close().await;
    let report = report?;
    if matches.get_flag("json") {
        println!("{}", to_json(&report, baseline.as_ref())?);
    } else {
        print(&report);
        if let Some(baseline) = &baseline {
            print_differences(&report, baseline);
        }
    }
    if report.queries_failed > 0 { Err(CliError::Partial) } else { Ok(()) }
}

/// Fills the server where that is to be done, then searches for every query.
async fn evaluate(
    client: &Client,
    collection: &Collection,
    keep: &Path,
    folder: &Path,
    mode: Option<&str>,
) -> Result<Report, CliError> {
    let filled = fill::fill(client, &collection.documents, keep).await?;
    if mode != Some("lexical") {
        wait_for_vectors(client).await?;
    }
    // The first search reads the index into memory; none of the measured ones should.
    if let Some(query) = collection.queries.first() {
        let _ = search(client, &filled, query, mode).await;
    }
    let mut results = Vec::with_capacity(collection.queries.len());
    let (mut failed, mut degraded, mut used) = (0, 0, mode.unwrap_or("lexical").to_owned());
    for query in &collection.queries {
        let begun = Instant::now();
        let searched = search(client, &filled, query, mode).await;
        let milliseconds = begun.elapsed().as_secs_f64() * 1_000.0;
        let ranking = match searched {
            Ok((ranking, searched)) => {
                degraded += usize::from(mode == Some("hybrid") && searched == SearchMode::Lexical);
                if mode.is_none() && searched == SearchMode::Hybrid {
                    "hybrid".clone_into(&mut used);
                }
                ranking
            }
            Err(error) => {
                eprintln!("query {}: {error}", query.id);
                failed += 1;
                Vec::new()
            }
        };
        results.push(QueryResult {
            id: query.id.clone(),
            language: language(&query.text).to_owned(),
            measures: Measures::of(&ranking, &query.judgements),
            milliseconds,
            ranking,
        });
    }
    if degraded > 0 {
        eprintln!("{degraded} of the queries were answered by words alone; see the `reason` of GET /api/search");
    }
    Ok(report(folder, used, &filled, results, failed, degraded))
}

/// The ids of what is found, best first. One stored document may stand for several of the collection, which then rank
/// beside each other.
async fn search(
    client: &Client,
    filled: &Filled,
    query: &Query,
    mode: Option<&str>,
) -> Result<(Vec<String>, SearchMode), CliError> {
    // The longest query that the API takes.
    let text: String = query.text.chars().take(2_000).collect();
    let mut parameters = vec![("q", text.as_str()), ("limit", DEPTH)];
    parameters.extend(mode.map(|mode| ("mode", mode)));
    let found: Found = client.get("/api/search", &parameters).await?;
    let ids = found.hits.iter().filter_map(|hit| filled.ids.get(&hit.document_id)).flatten();
    Ok((ids.cloned().collect(), found.mode))
}

/// Waits until every passage has its vector, where there is an embedding model.
async fn wait_for_vectors(client: &Client) -> Result<(), CliError> {
    loop {
        let ready: Value = client.get("/readyz", &[]).await?;
        let embedding = &ready["embedding"];
        if embedding.is_null() || embedding["up_to_date"] == true {
            return Ok(());
        }
        if let Some(problem) = embedding["problem"]["message"].as_str() {
            return Err(CliError::Server(format!("the passages cannot be embedded: {problem}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn report(
    folder: &Path,
    mode: String,
    filled: &Filled,
    results: Vec<QueryResult>,
    queries_failed: usize,
    queries_degraded: usize,
) -> Report {
    let mut parts: BTreeMap<String, Vec<&Measures>> = BTreeMap::new();
    for result in &results {
        parts.entry(result.language.clone()).or_default().push(&result.measures);
    }
    let by_language = parts.into_iter().map(|(language, of_it)| {
        let part = LanguagePart { queries: of_it.len(), measures: Measures::mean(of_it.iter().copied()) };
        (language, part)
    });
    let mut times: Vec<f64> = results.iter().map(|result| result.milliseconds).collect();
    times.sort_unstable_by(f64::total_cmp);
    Report {
        collection: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        mode,
        documents: filled.ids.values().map(Vec::len).sum(),
        documents_failed: filled.failed,
        queries: results.len(),
        queries_failed,
        queries_degraded,
        measures: Measures::mean(results.iter().map(|result| &result.measures)),
        by_language: by_language.collect(),
        milliseconds: Times { p50: percentile(&times, 0.5), p99: percentile(&times, 0.99) },
        per_query: results,
    }
}

/// The language that a query is written in, as far as its letters tell.
fn language(text: &str) -> &'static str {
    if text.chars().any(is_japanese) { "ja" } else { "en" }
}

/// Whether a letter is kana or kanji.
fn is_japanese(letter: char) -> bool {
    matches!(letter, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff66}'..='\u{ff9f}')
}

/// An earlier run's `--json`.
fn read_report<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let unreadable = |error: &dyn std::fmt::Display| CliError::Usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(&error))
}

/// The difference to an earlier run in each measure, over the queries that both have.
fn differences(report: &Report, baseline: &Report) -> Vec<(&'static str, usize, Difference)> {
    let earlier: HashMap<&str, &Measures> =
        baseline.per_query.iter().map(|result| (result.id.as_str(), &result.measures)).collect();
    let pairs: Vec<(&Measures, &Measures)> = report
        .per_query
        .iter()
        .filter_map(|result| Some((&result.measures, *earlier.get(result.id.as_str())?)))
        .collect();
    let of = |measure: fn(&Measures) -> f64| {
        Difference::of(&pairs.iter().map(|(now, before)| measure(now) - measure(before)).collect::<Vec<_>>())
    };
    MEASURES.iter().filter_map(|(name, measure)| Some((*name, pairs.len(), of(*measure)?))).collect()
}

fn to_json(report: &Report, baseline: Option<&Report>) -> Result<String, CliError> {
    let mut value = serde_json::to_value(report).map_err(std::io::Error::other)?;
    if let Some(baseline) = baseline {
        let differences: serde_json::Map<String, Value> = differences(report, baseline)
            .into_iter()
            .map(|(name, pairs, difference)| {
                let Difference { mean, low, high } = difference;
                let value = serde_json::json!({"pairs": pairs, "mean": mean, "low": low, "high": high});
                (name.to_lowercase(), value)
            })
            .collect();
        value["differences"] = Value::Object(differences);
    }
    Ok(serde_json::to_string_pretty(&value).map_err(std::io::Error::other)?)
}

fn print(report: &Report) {
    let Report { collection, mode, documents, documents_failed, .. } = report;
    println!("{collection}: {documents} documents ({documents_failed} failed), {mode}");
    let names = MEASURES.map(|(name, _)| format!("{name:>11}")).concat();
    println!("{:<8} {:>8}{names}", "language", "queries");
    let row = |language: &str, queries: usize, measures: &Measures| {
        let figures = MEASURES.map(|(_, of)| format!("{:>11.4}", of(measures))).concat();
        println!("{language:<8} {queries:>8}{figures}");
    };
    if report.by_language.len() > 1 {
        for (language, part) in &report.by_language {
            row(language, part.queries, &part.measures);
        }
    }
    row("all", report.queries, &report.measures);
    println!("per query: p50 {:.1} ms, p99 {:.1} ms", report.milliseconds.p50, report.milliseconds.p99);
}

fn print_differences(report: &Report, baseline: &Report) {
    println!("\nagainst the baseline ({}, {}), with 95 % intervals", baseline.collection, baseline.mode);
    for (name, pairs, Difference { mean, low, high }) in differences(report, baseline) {
        println!("{name:<11} {mean:>+8.4}  [{low:+.4}, {high:+.4}]  over {pairs} queries");
    }
}
