//! Scores retrieval on a judged collection in BEIR form: indexes `corpus.jsonl` into a scratch index, asks every
//! query of `qrels/test.tsv`, and prints nDCG@10, Recall@100 and MRR@10 as `trec_eval` defines them, and the time a
//! query for the best ten takes. `--run FILE` keeps the ranking in TREC's form; `--copies N` indexes the corpus N times
//! over, which spoils the scores and shows how time grows.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use dokkai::model::{DocumentId, Passage, PassageId};
use dokkai::search::tantivy::TantivySearch;
use dokkai::search::{Change, DocumentState, IndexedDocument, Search, SearchQuery};
use serde::Deserialize;
use uuid::Uuid;

/// Quarters of a token in a passage: by the usual estimate 1 for a character of spaced scripts, 3 for others.
const LONGEST_PASSAGE: usize = 1_200;

/// Documents asked for.
const DEPTH: usize = 100;

/// Changes applied in one commit.
const BATCH: usize = 2_000;

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

type Judgements = HashMap<String, HashMap<String, f64>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: beir_eval FOLDER [--run FILE] [--copies N]")?);
    let (mut run, mut copies) = (None, 1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--run" => run = Some(value),
            "--copies" => copies = value.parse()?,
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    let scratch = tempfile::tempdir()?;
    let search = TantivySearch::open(scratch.path(), "evaluation")?;
    let corpus: Vec<Entry> = read(&folder.join("corpus.jsonl"))?;
    let begun = Instant::now();
    let passages = index(&search, &corpus, copies).await?;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{} documents, {passages} passages indexed in {seconds:.1} s", corpus.len());

    let judgements = judgements(&folder)?;
    let mut queries: Vec<Entry> = read(&folder.join("queries.jsonl"))?;
    queries.retain(|query| judgements.contains_key(&query.id));
    let mut lines = String::new();
    let mut times = Vec::new();
    let mut figures = Figures::default();
    for query in &queries {
        let asked = SearchQuery {
            text: query.text.clone(),
            collection: None,
            filter: None,
            limit: DEPTH,
            passages_per_document: 3,
        };
        let hits = search.search(asked.clone()).await?;
        let begun = Instant::now();
        search.search(SearchQuery { limit: 10, ..asked }).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let found: Vec<&str> =
            hits.iter().filter_map(|hit| corpus.get(place(hit.document_id))).map(|e| e.id.as_str()).collect();
        for (rank, document) in found.iter().enumerate() {
            // Ranks as scores: trec_eval orders ties by name, not as we do.
            lines.push_str(&format!("{}\tQ0\t{document}\t{}\t{}\tdokkai\n", query.id, rank + 1, DEPTH - rank));
        }
        figures.add(&found, &judgements[&query.id]);
    }
    if let Some(run) = run {
        fs::File::create(run)?.write_all(lines.as_bytes())?;
    }
    times.sort_by(f64::total_cmp);
    let percentile = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    let n = queries.len() as f64;
    println!(
        "nDCG@10 {:.4}  Recall@100 {:.4}  MRR@10 {:.4}  queries {n}  ms/query p50 {:.2} p99 {:.2}",
        figures.ndcg / n,
        figures.recall / n,
        figures.reciprocal / n,
        percentile(0.5),
        percentile(0.99)
    );
    Ok(())
}

async fn index(search: &TantivySearch, corpus: &[Entry], copies: usize) -> Result<usize, Box<dyn Error>> {
    let mut passages = 0;
    let places: Vec<usize> = (0..corpus.len() * copies).collect();
    for batch in places.chunks(BATCH) {
        let mut changes = Vec::new();
        for &place in batch {
            let entry = &corpus[place % corpus.len()];
            let document_id = DocumentId(Uuid::from_u128(place as u128));
            let cut = cut(document_id, &entry.text);
            passages += cut.len();
            let document = IndexedDocument {
                title: entry.title.clone(),
                collection: "default".to_owned(),
                facets: Vec::new(),
                passages: cut,
            };
            let state = DocumentState::Present(Arc::new(document));
            changes.push(Change { seq: place as u64 + 1, document_id, state });
        }
        search.apply(changes).await?;
    }
    Ok(passages)
}

/// The simplest possible cut, at the end of a sentence near the limit.
fn cut(document_id: DocumentId, text: &str) -> Vec<Passage> {
    let chars: Vec<char> = text.chars().collect();
    let mut passages = Vec::new();
    let mut start = 0;
    loop {
        let (mut end, mut length) = (start, 0);
        while end < chars.len() && length < LONGEST_PASSAGE {
            length += if chars[end] < '\u{1000}' { 1 } else { 3 };
            end += 1;
        }
        if end < chars.len()
            && let Some(at) = chars[start..end].iter().rposition(|c| matches!(c, '。' | '.' | '\n'))
        {
            end = start + at + 1;
        }
        let id = PassageId { document_id, ordinal: passages.len() as u32 };
        let text = chars[start..end].iter().collect();
        passages.push(Passage { id, text, start, end, page: None, heading: None });
        start = end;
        if start >= chars.len() {
            return passages;
        }
    }
}

fn place(id: DocumentId) -> usize {
    usize::try_from(id.0.as_u128()).unwrap_or(usize::MAX)
}

fn read(path: &Path) -> Result<Vec<Entry>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Query → document → grade, of the queries that have a relevant document.
fn judgements(folder: &Path) -> Result<Judgements, Box<dyn Error>> {
    let mut judgements = Judgements::new();
    for line in fs::read_to_string(folder.join("qrels/test.tsv"))?.lines() {
        if let [query, document, grade] = line.split('\t').collect::<Vec<_>>()[..]
            && let Ok(grade) = grade.trim().parse::<f64>()
        {
            judgements.entry(query.to_owned()).or_default().insert(document.to_owned(), grade);
        }
    }
    judgements.retain(|_, grades| grades.values().any(|&grade| grade > 0.0));
    Ok(judgements)
}

#[derive(Default)]
struct Figures {
    ndcg: f64,
    recall: f64,
    reciprocal: f64,
}

impl Figures {
    fn add(&mut self, found: &[&str], grades: &HashMap<String, f64>) {
        let grade = |document: &&str| grades.get(*document).copied().unwrap_or(0.0);
        let mut ideal: Vec<f64> = grades.values().copied().filter(|&grade| grade > 0.0).collect();
        ideal.sort_by(|a, b| b.total_cmp(a));
        self.ndcg += gain(found.iter().map(grade)) / gain(ideal.iter().copied());
        let relevant: HashSet<&&str> = found.iter().take(DEPTH).filter(|document| grade(document) > 0.0).collect();
        self.recall += relevant.len() as f64 / ideal.len() as f64;
        let first = found.iter().take(10).position(|document| grade(document) > 0.0);
        self.reciprocal += first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0));
    }
}

/// Discounted cumulative gain of the first ten.
fn gain(grades: impl Iterator<Item = f64>) -> f64 {
    grades.take(10).enumerate().map(|(rank, grade)| grade / (rank as f64 + 2.0).log2()).sum()
}
