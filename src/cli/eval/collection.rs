//! A judged collection on disk, in BEIR's form: `queries.jsonl`, `qrels/SPLIT.tsv`, and `corpus.jsonl` or a folder
//! `files`, whose documents are named by their paths below it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::measure::Judgements;
use crate::cli::CliError;

/// A judged collection.
pub(super) struct Collection {
    /// Where its documents are.
    pub(super) documents: Documents,
    /// Those that have a relevant document, in the order of their file.
    pub(super) queries: Vec<Query>,
}

/// Where a collection's documents are.
pub(super) enum Documents {
    /// One a line.
    Corpus(PathBuf),
    /// One a file.
    Files(PathBuf),
}

/// One query with its judgements.
pub(super) struct Query {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) judgements: Judgements,
}

/// One document of a corpus.
#[derive(Deserialize)]
pub(super) struct CorpusDocument {
    #[serde(rename = "_id")]
    pub(super) id: Id,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) text: String,
}

#[derive(Deserialize)]
struct QueryLine {
    #[serde(rename = "_id")]
    id: Id,
    text: String,
}

/// Some collections number their documents.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Text(String),
    Number(i64),
}

impl Id {
    /// In composed form: ids that are file names may be decomposed on one side alone.
    pub(super) fn composed(&self) -> String {
        match self {
            Self::Text(text) => composed(text),
            Self::Number(number) => number.to_string(),
        }
    }
}

impl Collection {
    /// Reads queries and judgements; documents are read as they are needed.
    ///
    /// # Errors
    /// What is missing or unreadable, with its place.
    pub(super) fn open(folder: &Path, split: &str) -> Result<Self, CliError> {
        if !folder.is_dir() {
            return Err(usage(format!("{} is not a folder", folder.display())));
        }
        let (corpus, files) = (folder.join("corpus.jsonl"), folder.join("files"));
        let documents = if corpus.is_file() {
            Documents::Corpus(corpus)
        } else if files.is_dir() {
            Documents::Files(files)
        } else {
            return Err(usage(format!("{} has neither corpus.jsonl nor a folder files", folder.display())));
        };
        let judgements = read_judgements(&folder.join("qrels").join(format!("{split}.tsv")))?;
        let queries = read_queries(&folder.join("queries.jsonl"), judgements)?;
        if queries.is_empty() {
            return Err(usage(format!("no query of {} has a relevant document in {split}.tsv", folder.display())));
        }
        Ok(Self { documents, queries })
    }
}

/// The documents of a corpus, one after the other.
pub(super) fn corpus(path: &Path) -> Result<impl Iterator<Item = Result<CorpusDocument, CliError>> + use<>, CliError> {
    let path = path.to_owned();
    let lines = lines(&path)?;
    Ok(lines.map(move |line| {
        let (number, line) = line?;
        serde_json::from_str(&line).map_err(|error| unreadable(&path, number, &error))
    }))
}

/// The composed form (NFC) of a name.
pub(super) fn composed(name: &str) -> String {
    icu_normalizer::ComposingNormalizerBorrowed::new_nfc().normalize(name).into_owned()
}

fn read_queries(path: &Path, mut judgements: HashMap<String, Judgements>) -> Result<Vec<Query>, CliError> {
    let mut queries = Vec::new();
    for line in lines(path)? {
        let (number, line) = line?;
        let query: QueryLine = serde_json::from_str(&line).map_err(|error| unreadable(path, number, &error))?;
        let id = match query.id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        };
        if let Some(judgements) = judgements.remove(&id) {
            queries.push(Query { id, text: query.text, judgements });
        }
    }
    Ok(queries)
}

/// Judgements by query, those without a relevant document left out.
fn read_judgements(path: &Path) -> Result<HashMap<String, Judgements>, CliError> {
    let mut judgements: HashMap<String, Judgements> = HashMap::new();
    for line in lines(path)? {
        let (number, line) = line?;
        match judgement(&line) {
            Some((query, document, grade)) => {
                judgements.entry(query.to_owned()).or_default().insert(composed(document), grade);
            }
            // The first line may name the columns.
            None if number == 1 => {}
            None => return Err(unreadable(path, number, &"a line must be QUERY, DOCUMENT and GRADE between tabs")),
        }
    }
    judgements.retain(|_, of_query| of_query.values().any(|grade| *grade > 0));
    Ok(judgements)
}

/// Query, document and grade of a line: three columns, or four as TREC has them.
fn judgement(line: &str) -> Option<(&str, &str, i64)> {
    let tabs: Vec<&str> = line.split('\t').map(str::trim).collect();
    let columns = if tabs.len() >= 3 { tabs } else { line.split_whitespace().collect() };
    let (query, document, grade) = match columns[..] {
        [query, "0" | "Q0", document, grade, ..] => (query, document, grade),
        [query, document, grade, ..] => (query, document, grade),
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "grades are small whole numbers")]
    grade.parse::<f64>().ok().filter(|grade| grade.is_finite()).map(|grade| (query, document, grade as i64))
}

/// The lines that are not blank, with their numbers.
pub(super) fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String), CliError>> + use<>, CliError> {
    let file = File::open(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    let numbered = (1..).zip(BufReader::new(file).lines());
    Ok(numbered.filter_map(|(number, line)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(Ok((number, line))),
        Err(error) => Some(Err(error.into())),
    }))
}

fn usage(message: String) -> CliError {
    CliError::Usage(message)
}

/// What is wrong with a line of a file.
pub(super) fn unreadable(path: &Path, line: usize, reason: &impl std::fmt::Display) -> CliError {
    usage(format!("{}, line {line}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judgements_come_in_every_form() {
        let check = |line: &str, expected: Option<(&str, &str, i64)>| assert_eq!(judgement(line), expected, "{line:?}");
        check("q1\td1\t2", Some(("q1", "d1", 2)));
        check("q1\t0\td1\t1", Some(("q1", "d1", 1)));
        check("q1 Q0 d1 1", Some(("q1", "d1", 1)));
        check("q1\ta file with blanks.md\t1", Some(("q1", "a file with blanks.md", 1)));
        check("q1\td1\t1.0", Some(("q1", "d1", 1)));
        check("query-id\tcorpus-id\tscore", None);
        check("q1\td1", None);
    }

    #[test]
    fn a_collection_is_read_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let fails = |what: &str| {
            let error = Collection::open(path, "test").err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        };
        fails("neither corpus.jsonl nor");
        std::fs::create_dir_all(path.join("files")).unwrap();
        fails("qrels");
        std::fs::create_dir_all(path.join("qrels")).unwrap();
        std::fs::write(path.join("qrels/test.tsv"), "query-id\tcorpus-id\tscore\n1\tか\u{3099}.md\t1\n2\tx\t0\n")
            .unwrap();
        fails("queries.jsonl");
        std::fs::write(path.join("queries.jsonl"), "{\"_id\": 1, \"text\": \"a\"}\n\n{\"_id\": \"2\"").unwrap();
        fails("line 3");
        std::fs::write(path.join("queries.jsonl"), "{\"_id\": 1, \"text\": \"a\"}\n{\"_id\": \"2\", \"text\": \"b\"}")
            .unwrap();
        let collection = Collection::open(path, "test").unwrap();
        assert!(matches!(collection.documents, Documents::Files(_)));
        assert_eq!(collection.queries.len(), 1, "a query without a relevant document is left out");
        assert_eq!(collection.queries[0].judgements.get("が.md"), Some(&1));
    }
}
