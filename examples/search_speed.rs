//! How long a search takes as the index grows: fills an index with ever more passages made of judged collections'
//! texts, and asks their queries one after the other, on one thread. Beside it tantivy alone: the same terms in one
//! field, the question an OR of them. `search_speed COUNTS KEPT FOLDER…`, as in
//! `search_speed 10000,100000 /tmp/speed DATA/scifact`: in KEPT the indexes stay for the next time.
//!
//! A collection is too small, and repeated it has no more words than once. So each repetition mixes the sentences of
//! its texts anew and writes some of its words otherwise, and the vocabulary grows as it does in life.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use dokkai::model::filter::{Facet, Filter, Scalar};
use dokkai::model::{DocumentId, Passage, PassageId};
use dokkai::search::analyzer::{self, TokenKind};
use dokkai::search::tantivy::TantivySearch;
use dokkai::search::{Change, DocumentState, IndexedDocument, Search, SearchQuery};
use mimalloc::MiMalloc;
use serde::Deserialize;
use tantivy::collector::TopDocs;
use tantivy::directory::MmapDirectory;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};

/// Most characters of a passage: about its tokens at the most, in either language.
const LONGEST: (usize, usize) = (1_000, 400);

/// Queries of all collections together, evenly taken.
const QUERIES: usize = 600;

/// How often each query is asked.
const ROUNDS: usize = 5;

/// Passages of one commit.
const BATCH: usize = 20_000;

/// One in so many words is written otherwise in a repetition.
const OTHERWISE: usize = 25;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    title: String,
    text: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: search_speed COUNTS KEPT FOLDER…";
    let mut arguments = std::env::args().skip(1);
    let counts = arguments.next().ok_or(usage)?;
    let counts: Vec<usize> = counts.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let kept = PathBuf::from(arguments.next().ok_or(usage)?);
    let folders: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let texts = Texts::read(&folders)?;
    let mut queries = Vec::new();
    for folder in &folders {
        queries.extend(read(&folder.join("queries.jsonl"))?.into_iter().map(|entry| entry.text));
    }
    let step = queries.len().div_ceil(QUERIES).max(1);
    let queries: Vec<String> = queries.into_iter().step_by(step).collect();

    println!("passages     index   p50 ms   p99 ms  filtered p50   p99 | tantivy alone: index   p50 ms   p99 ms");
    for count in counts {
        let kept = kept.join(count.to_string());
        let (ours, plain) = (kept.join("ours"), kept.join("alone"));
        let search = TantivySearch::open(&ours, "speed")?;
        let mut alone = Alone::open(&plain)?;
        fill(&search, &mut alone, &texts, count).await?;
        let filter = Filter::read(serde_json::json!({"metadata.year": {"gte": 2020}}))?;
        let times = ask(&search, &queries, None).await?;
        let filtered = ask(&search, &queries, Some(&filter)).await?;
        let theirs = alone.ask(&queries)?;
        println!(
            "{count:>8}  {:>5} MB {:>8.2} {:>8.2}      {:>8.2} {:>8.2} |         {:>5} MB {:>8.2} {:>8.2}",
            megabytes(&ours)?,
            percentile(&times, 0.5),
            percentile(&times, 0.99),
            percentile(&filtered, 0.5),
            percentile(&filtered, 0.99),
            megabytes(&plain)?,
            percentile(&theirs, 0.5),
            percentile(&theirs, 0.99),
        );
    }
    Ok(())
}

/// Adds what is missing of so many passages. Each commit says which documents are in it, so an interrupted filling
/// goes on where it stopped.
async fn fill(search: &TantivySearch, alone: &mut Alone, texts: &Texts, count: usize) -> Result<(), Box<dyn Error>> {
    let (ours, theirs) = (search.applied().await?, alone.applied()?);
    let (mut passages, mut number) = (0, 0);
    while passages < count {
        let mut batch = Vec::new();
        let until = count.min(passages + BATCH);
        while passages < until {
            number += 1;
            let document = texts.document(number);
            passages += document.passages.len();
            if number > theirs {
                alone.add(&document)?;
            }
            let state = DocumentState::Present(Arc::new(document));
            batch.push(Change { seq: number, document_id: id(number), state });
        }
        if number > ours {
            search.apply(batch).await?;
        }
        if number > theirs {
            alone.commit(number)?;
        }
        eprint!("\r{passages} passages ");
    }
    eprintln!();
    Ok(())
}

/// Sorted times in milliseconds, each query's shortest of some rounds: what else the machine does is not measured.
async fn ask(search: &TantivySearch, queries: &[String], filter: Option<&Filter>) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = vec![f64::INFINITY; queries.len()];
    for _ in 0..ROUNDS {
        for (text, time) in queries.iter().zip(&mut times) {
            let begun = Instant::now();
            let asked = SearchQuery {
                text: text.clone(),
                collection: None,
                filter: filter.cloned(),
                limit: 10,
                passages_per_document: 3,
            };
            search.search(asked).await?;
            *time = time.min(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

fn percentile(times: &[f64], share: f64) -> f64 {
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default()
}

fn id(number: u64) -> DocumentId {
    DocumentId(uuid::Uuid::from_u128(number.into()))
}

fn megabytes(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes >> 20)
}

fn read(path: &Path) -> Result<Vec<Entry>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// What documents are made of.
struct Texts {
    /// By collection: documents as titles and sentences.
    collections: Vec<Vec<(String, Vec<String>)>>,
}

impl Texts {
    fn read(folders: &[PathBuf]) -> Result<Self, Box<dyn Error>> {
        let mut collections = Vec::new();
        for folder in folders {
            let entries = read(&folder.join("corpus.jsonl"))?;
            collections.push(entries.into_iter().map(|entry| (entry.title, sentences(&entry.text))).collect());
        }
        Ok(Self { collections })
    }

    /// The document of a number: an original while there are any, afterwards one like them. The same each time.
    fn document(&self, number: u64) -> IndexedDocument {
        let document_id = id(number);
        let mut dice = fastrand::Rng::with_seed(number);
        let number = number as usize - 1;
        let of_it = &self.collections[number % self.collections.len()];
        let place = number / self.collections.len();
        let (title, sentences) = &of_it[place % of_it.len()];
        let text = if place < of_it.len() {
            sentences.concat()
        } else {
            let mixed = sentences.iter().map(|sentence| {
                let other = &of_it[dice.usize(..of_it.len())].1;
                let from = if dice.bool() || other.is_empty() { sentence } else { &other[dice.usize(..other.len())] };
                otherwise(&mut dice, from)
            });
            mixed.collect()
        };
        let year = Facet { path: "metadata.year".to_owned(), value: Scalar::Number(f64::from(dice.u32(1990..2026))) };
        let is_japanese = text.contains(|c: char| ('\u{3041}'..='\u{30ff}').contains(&c));
        let passages = cut(document_id, &text);
        IndexedDocument {
            title: title.clone(),
            collection: "default".to_owned(),
            facets: vec![year],
            file_name: None,
            language: Some(if is_japanese { "ja" } else { "en" }.to_owned()),
            passages,
        }
    }
}

fn sentences(text: &str) -> Vec<String> {
    text.split_inclusive(['。', '.', '\n']).map(str::to_owned).collect()
}

/// A sentence with some of its words replaced: by words of letters drawn anew, in the script of the sentence.
fn otherwise(dice: &mut fastrand::Rng, sentence: &str) -> String {
    const KATAKANA: &str = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモラリルレロン";
    if sentence.contains(' ') {
        let word = |word: &str| {
            let length = word.trim_end().len();
            if dice.usize(..OTHERWISE) > 0 || length < 4 {
                return word.to_owned();
            }
            let letters: String = (0..dice.usize(2..5)).map(|_| dice.lowercase()).collect();
            format!("{}{letters} ", word.trim_end().chars().take(4).collect::<String>())
        };
        return sentence.split_inclusive(' ').map(word).collect();
    }
    let mut changed = String::new();
    for character in sentence.chars() {
        changed.push(character);
        if dice.usize(..OTHERWISE * 4) == 0 {
            for _ in 0..dice.usize(3..6) {
                changed.extend(KATAKANA.chars().nth(dice.usize(..KATAKANA.chars().count())));
            }
        }
    }
    changed
}

/// The simplest possible cut, at the end of a sentence.
fn cut(document_id: DocumentId, text: &str) -> Vec<Passage> {
    let longest = if text.contains(' ') { LONGEST.0 } else { LONGEST.1 };
    let mut texts: Vec<String> = Vec::new();
    for sentence in sentences(text) {
        match texts.last_mut() {
            Some(last) if last.chars().count() + sentence.chars().count() <= longest => last.push_str(&sentence),
            _ => texts.push(sentence),
        }
    }
    let passage = |(ordinal, text): (u32, String)| Passage {
        id: PassageId { document_id, ordinal },
        start: 0,
        end: text.chars().count(),
        text,
        page: None,
        heading: None,
    };
    (0..).zip(texts).map(passage).collect()
}

/// tantivy by itself.
struct Alone {
    text: Field,
    writer: IndexWriter,
    reader: IndexReader,
}

impl Alone {
    fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        std::fs::create_dir_all(folder)?;
        let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
        let mut schema = Schema::builder();
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
        let index = Index::open_or_create(MmapDirectory::open(folder)?, schema.build())?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { text, writer: index.writer_with_num_threads(1, 96 << 20)?, reader })
    }

    fn add(&mut self, document: &IndexedDocument) -> Result<(), Box<dyn Error>> {
        for passage in &document.passages {
            let tokens = terms(&format!("{}\n{}", document.title, passage.text));
            let tokens = tokens.map(|text| Token { text, position: 0, ..Token::default() }).collect();
            let mut entry = TantivyDocument::new();
            entry.add_pre_tokenized_text(self.text, PreTokenizedString { text: String::new(), tokens });
            self.writer.add_document(entry)?;
        }
        Ok(())
    }

    /// Number of the last document that is in it.
    fn applied(&self) -> Result<u64, Box<dyn Error>> {
        let payload = self.writer.index().load_metas()?.payload;
        Ok(payload.map_or(Ok(0), |number| number.parse())?)
    }

    fn commit(&mut self, number: u64) -> Result<(), Box<dyn Error>> {
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&number.to_string());
        commit.commit()?;
        Ok(self.reader.reload()?)
    }

    fn ask(&self, queries: &[String]) -> Result<Vec<f64>, Box<dyn Error>> {
        let searcher = self.reader.searcher();
        let mut times = vec![f64::INFINITY; queries.len()];
        for _ in 0..ROUNDS {
            for (text, time) in queries.iter().zip(&mut times) {
                let begun = Instant::now();
                let mut all: Vec<String> = terms(text).collect();
                all.sort_unstable();
                all.dedup();
                let clause = |term: String| {
                    let term = Term::from_field_text(self.text, &term);
                    (Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)) as Box<dyn Query>)
                };
                let query = BooleanQuery::new(all.into_iter().map(clause).collect());
                searcher.search(&query, &TopDocs::with_limit(10).order_by_score())?;
                *time = time.min(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok(times)
    }
}

/// The terms of a text, those that carry no meaning left out.
fn terms(text: &str) -> impl Iterator<Item = String> + use<> {
    analyzer::analyze(text).into_iter().filter(|token| token.kind != TokenKind::Stop).map(|token| token.term)
}
