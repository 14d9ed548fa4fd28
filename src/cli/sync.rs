//! What `dokkai ingest --sync` does: which files of a folder are new, changed, moved or gone, by what the server holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ArgMatches;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::CliError;
use super::client::Client;
use super::ingest::{self, Follower, Outcome};

/// Files that are read at once to compare them.
const HASHED_AT_ONCE: usize = 4;

/// Files that the server is asked about at once.
const LOOKED_UP_AT_ONCE: usize = 500;

/// Makes a collection hold what a folder holds, and says what was done.
pub(super) async fn run(
    client: &Client,
    paths: &[PathBuf],
    collection: Option<&str>,
    matches: &ArgMatches,
) -> Result<(), CliError> {
    let folder = folder(paths)?;
    let done = once(client, &folder, collection, &mut Seen::default(), matches.get_flag("dry-run")).await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&done).map_err(std::io::Error::other)?);
    } else {
        done.show();
    }
    if done.failed() { Err(CliError::Partial) } else { Ok(()) }
}

/// The one folder that the command names.
pub(super) fn folder(paths: &[PathBuf]) -> Result<PathBuf, CliError> {
    let [folder] = paths else { return Err(CliError::Server("--sync and --watch take one folder".to_owned())) };
    let folder = folder.canonicalize()?;
    if folder.is_dir() { Ok(folder) } else { Err(CliError::Server(format!("{} is no folder", folder.display()))) }
}

/// A folder from one look to the next.
#[derive(Default)]
pub(super) struct Seen {
    /// Files' hashes, by when a file was written and its size.
    hashes: HashMap<PathBuf, (SystemTime, u64, String)>,
    /// Whether the collection held what the folder held at the last look.
    synced: bool,
}

impl Seen {
    /// All files below a folder, and the paths that are other than at the last look or cannot be read. Files that are as
    /// they were are not read again.
    async fn look(&mut self, folder: &PathBuf) -> Result<(Vec<Present>, BTreeSet<PathBuf>), CliError> {
        let mut known = std::mem::take(&mut self.hashes);
        let files = stream::iter(ingest::files(std::slice::from_ref(folder))?);
        let hashed = files.map(|path| {
            // The time comes before the content: what is written between them is read again the next time.
            let stamp = path.metadata().ok().and_then(|about| Some((about.modified().ok()?, about.len())));
            let same = known.get(&path).filter(|(written, size, _)| stamp == Some((*written, *size)));
            let same = same.map(|(_, _, hash)| hash.clone());
            async move {
                let hash = if same.is_some() { same } else { ingest::hash(path.clone()).await };
                (stamp, Present { hash, path })
            }
        });
        let files: Vec<(Option<(SystemTime, u64)>, Present)> = hashed.buffered(HASHED_AT_ONCE).collect().await;
        let mut changed = BTreeSet::new();
        for (stamp, file) in &files {
            let before = known.remove(&file.path).map(|(_, _, hash)| hash);
            if before.is_none() || before != file.hash {
                changed.insert(file.path.clone());
            }
            if let (Some((written, size)), Some(hash)) = (stamp, &file.hash) {
                self.hashes.insert(file.path.clone(), (*written, *size, hash.clone()));
            }
        }
        changed.extend(known.into_keys());
        Ok((files.into_iter().map(|(_, file)| file).collect(), changed))
    }
}

/// What was done to make a collection like a folder.
#[derive(serde::Serialize)]
pub(super) struct Done {
    plan: Plan,
    #[serde(rename = "documents")]
    outcomes: Vec<Outcome>,
    unreadable: Vec<PathBuf>,
}

/// Makes a collection hold what a folder holds; with `dry_run` only finds out what that takes. After a round that
/// succeeded, the next one asks the server only for what the files concern that changed.
pub(super) async fn once(
    client: &Client,
    folder: &PathBuf,
    collection: Option<&str>,
    seen: &mut Seen,
    dry_run: bool,
) -> Result<Done, CliError> {
    let whole = !std::mem::take(&mut seen.synced);
    let (files, changed) = seen.look(folder).await?;
    let (is_empty, all) = (files.is_empty(), files.len());
    let (files, held) = if whole {
        (files, held(client, collection.unwrap_or("default")).await?)
    } else {
        let held = concerned(client, collection, &files, &changed).await?;
        (files_of(files, &changed, &held), held)
    };
    let mut plan = plan(folder, &files, &held);
    plan.unchanged += all - files.len();
    // A folder that is not mounted looks empty, and nobody means to lose everything.
    if is_empty && !plan.gone.is_empty() {
        let message = format!("{} holds no file; delete its documents yourself if you mean it", folder.display());
        return Err(CliError::Server(message));
    }
    let unreadable = files.into_iter().filter(|file| file.hash.is_none()).map(|file| file.path).collect();
    let outcomes = if dry_run { Vec::new() } else { carry_out(client, &plan, collection).await? };
    let done = Done { plan, outcomes, unreadable };
    seen.synced = !done.failed();
    Ok(done)
}

impl Done {
    /// Whether a file could not be read or was refused.
    pub(super) fn failed(&self) -> bool {
        self.outcomes.iter().any(Outcome::failed) || !self.unreadable.is_empty()
    }

    /// Whether everything was as it should be.
    pub(super) fn is_nothing(&self) -> bool {
        let Plan { new, changed, moved, gone, .. } = &self.plan;
        new.is_empty() && changed.is_empty() && moved.is_empty() && gone.is_empty() && self.unreadable.is_empty()
    }

    pub(super) fn show(&self) {
        show(&self.plan);
        self.unreadable.iter().for_each(|path| println!("unreadable: {}", path.display()));
        if !self.outcomes.is_empty() {
            ingest::report(&self.outcomes);
        }
    }
}

fn show(plan: &Plan) {
    let lists = [("changed", &plan.changed), ("moved", &plan.moved), ("gone", &plan.gone)];
    for path in &plan.new {
        println!("new: {}", path.display());
    }
    for (word, list) in lists {
        list.iter().for_each(|(path, _)| println!("{word}: {}", path.display()));
    }
    println!(
        "{} new, {} changed, {} moved, {} gone, {} unchanged",
        plan.new.len(),
        plan.changed.len(),
        plan.moved.len(),
        plan.gone.len(),
        plan.unchanged
    );
}

/// All documents of a collection.
async fn held(client: &Client, collection: &str) -> Result<Vec<Held>, CliError> {
    let mut held = Vec::new();
    let mut cursor = Some(String::new());
    while let Some(next) = cursor {
        let query = [("collection", collection), ("limit", "500"), ("cursor", &next)];
        let list: Value = client.get("/api/documents", &query).await?;
        held.extend(documents(&list));
        cursor = list["next_cursor"].as_str().map(str::to_owned);
    }
    Ok(held)
}

/// The documents that the changed files concern: those that came from them and those with their contents.
async fn concerned(
    client: &Client,
    collection: Option<&str>,
    files: &[Present],
    changed: &BTreeSet<PathBuf>,
) -> Result<Vec<Held>, CliError> {
    let hash_of: HashMap<&Path, &Option<String>> = files.iter().map(|file| (file.path.as_path(), &file.hash)).collect();
    let changed: Vec<&PathBuf> = changed.iter().collect();
    let mut concerned = HashMap::new();
    for some in changed.chunks(LOOKED_UP_AT_ONCE) {
        let sources: Vec<_> = some.iter().map(|path| path.to_string_lossy()).collect();
        let hashes: Vec<&String> = some.iter().filter_map(|path| hash_of.get(path.as_path())?.as_ref()).collect();
        let body = json!({"hashes": hashes, "sources": sources, "collection": collection});
        let list: Value = client.post("/api/documents/lookup", &body).await?;
        concerned.extend(documents(&list).map(|held| (held.id.clone(), held)));
    }
    Ok(concerned.into_values().collect())
}

/// The files that changed or that hold what one of these or a document holds: a document may be another file's, too.
fn files_of(files: Vec<Present>, changed: &BTreeSet<PathBuf>, held: &[Held]) -> Vec<Present> {
    let of_changed = files.iter().filter(|file| changed.contains(&file.path)).filter_map(|file| file.hash.clone());
    let hashes: BTreeSet<String> = of_changed.chain(held.iter().map(|held| held.hash.clone())).collect();
    let concerns =
        |file: &Present| changed.contains(&file.path) || file.hash.as_ref().is_some_and(|hash| hashes.contains(hash));
    files.into_iter().filter(concerns).collect()
}

/// The documents that a reply lists.
fn documents(list: &Value) -> impl Iterator<Item = Held> {
    list["documents"].as_array().into_iter().flatten().map(|document| {
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let source = document["source"].as_str().map(PathBuf::from);
        Held { id: text("id"), hash: text("sha256"), source }
    })
}

async fn carry_out(client: &Client, plan: &Plan, collection: Option<&str>) -> Result<Vec<Outcome>, CliError> {
    let follower = Follower::start(client).await?;
    let bar = ingest::bar(plan.new.len() + plan.changed.len());
    // What moved first: its old path may be another document's from now on.
    for (path, id) in &plan.moved {
        client.patch(&format!("/api/documents/{id}"), &json!({"source": path.to_string_lossy()})).await?;
    }
    let mut outcomes = Vec::new();
    for (path, id) in &plan.changed {
        let replaced = client.replace(id, path).await;
        outcomes.push(match replaced {
            Ok(document) => Outcome::of(path, &document, false),
            Err(error) => Outcome::of_error(path, error)?,
        });
        bar.inc(1);
    }
    outcomes.extend(ingest::send(client, &plan.new, collection, &bar).await?);
    for (_, id) in &plan.gone {
        match client.delete(&format!("/api/documents/{id}")).await {
            // Somebody else was quicker.
            Ok(()) | Err(CliError::Refused { status: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    ingest::wait(client, &follower, &mut outcomes, &bar).await?;
    bar.finish_and_clear();
    Ok(outcomes)
}

/// A file of the folder.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub(super) path: PathBuf,
    /// SHA-256, in hexadecimal; none where it cannot be read.
    pub(super) hash: Option<String>,
}

/// A document of the collection.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: String,
    pub(super) hash: String,
    pub(super) source: Option<PathBuf>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Plan {
    /// To upload.
    pub(super) new: Vec<PathBuf>,
    /// To upload in a document's place.
    pub(super) changed: Vec<(PathBuf, String)>,
    /// Documents whose file has another path now.
    pub(super) moved: Vec<(PathBuf, String)>,
    /// Documents whose file is gone, with its path.
    pub(super) gone: Vec<(PathBuf, String)>,
    /// Files that are as the server has them.
    pub(super) unchanged: usize,
}

/// Compares. Contents come first: what has the same bytes is the same document wherever it lies. Documents from
/// outside of the folder are left alone.
pub(super) fn plan(folder: &Path, files: &[Present], held: &[Held]) -> Plan {
    let by_hash: HashMap<&str, &Held> = held.iter().map(|held| (held.hash.as_str(), held)).collect();
    let inside = |held: &Held| held.source.as_ref().is_some_and(|source| source.starts_with(folder));
    let by_source: HashMap<&Path, &Held> =
        held.iter().filter(|held| inside(held)).filter_map(|held| Some((held.source.as_deref()?, held))).collect();
    let mut paths: BTreeMap<&str, Vec<&Path>> = BTreeMap::new();
    let mut unreadable = BTreeSet::new();
    for file in files {
        match &file.hash {
            Some(hash) => paths.entry(hash).or_default().push(&file.path),
            None => _ = unreadable.insert(file.path.as_path()),
        }
    }
    let mut plan = Plan::default();
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    let mut unknown = Vec::new();
    for (hash, paths) in &paths {
        let Some(held) = by_hash.get(hash) else {
            // Copies of one new file are one document, too.
            unknown.extend(paths.first().copied());
            plan.unchanged += paths.len().saturating_sub(1);
            continue;
        };
        kept.insert(&held.id);
        let in_place = paths.iter().any(|path| held.source.as_deref() == Some(*path));
        match paths.first() {
            Some(path) if inside(held) && !in_place => plan.moved.push(((*path).to_owned(), held.id.clone())),
            _ => {}
        }
        plan.unchanged += paths.len();
    }
    unknown.sort_unstable();
    for path in unknown {
        match by_source.get(path).filter(|held| !kept.contains(held.id.as_str())) {
            Some(held) => {
                kept.insert(&held.id);
                plan.changed.push((path.to_owned(), held.id.clone()));
            }
            None => plan.new.push(path.to_owned()),
        }
    }
    for (path, held) in by_source {
        if !kept.contains(held.id.as_str()) && !unreadable.contains(path) {
            plan.gone.push((path.to_owned(), held.id.clone()));
        }
    }
    plan.gone.sort();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], held: &[(&str, &str, &str)], expected: Plan) {
        let files: Vec<Present> = files
            .iter()
            .map(|(path, hash)| Present { path: path.into(), hash: Some((*hash).to_owned()).filter(|h| h != "?") })
            .collect();
        let held: Vec<Held> = held
            .iter()
            .map(|(id, source, hash)| Held {
                id: (*id).to_owned(),
                hash: (*hash).to_owned(),
                source: Some(source.into()).filter(|_| !source.is_empty()),
            })
            .collect();
        assert_eq!(plan(Path::new("/d"), &files, &held), expected, "{files:?} {held:?}");
    }

    fn one(path: &str, id: &str) -> Vec<(PathBuf, String)> {
        vec![(path.into(), id.to_owned())]
    }

    #[test]
    fn files_are_new_changed_moved_or_gone() {
        check(&[("/d/a", "1")], &[], Plan { new: vec!["/d/a".into()], ..Plan::default() });
        check(&[("/d/a", "1")], &[("A", "/d/a", "1")], Plan { unchanged: 1, ..Plan::default() });
        check(&[("/d/a", "2")], &[("A", "/d/a", "1")], Plan { changed: one("/d/a", "A"), ..Plan::default() });
        check(&[], &[("A", "/d/a", "1")], Plan { gone: one("/d/a", "A"), ..Plan::default() });
        check(
            &[("/d/b", "1")],
            &[("A", "/d/a", "1")],
            Plan { moved: one("/d/b", "A"), unchanged: 1, ..Plan::default() },
        );
    }

    #[test]
    fn what_is_elsewhere_or_cannot_be_read_is_left_alone() {
        check(&[], &[("A", "/elsewhere/a", "1"), ("B", "", "2"), ("C", "/data/c", "3")], Plan::default());
        check(&[("/d/b", "1")], &[("A", "/elsewhere/a", "1")], Plan { unchanged: 1, ..Plan::default() });
        check(&[("/d/a", "?")], &[("A", "/d/a", "1")], Plan::default());
    }

    #[test]
    fn files_that_share_a_document_with_a_changed_one_are_looked_at_too() {
        let file = |path: &str, hash: &str| Present { path: path.into(), hash: Some(hash.to_owned()) };
        let files = vec![file("/d/a", "2"), file("/d/b", "1"), file("/d/c", "2"), file("/d/e", "3")];
        let held = [Held { id: "A".to_owned(), hash: "1".to_owned(), source: Some("/d/a".into()) }];
        let concerned = files_of(files, &BTreeSet::from(["/d/a".into()]), &held);
        let paths: Vec<_> = concerned.iter().map(|file| file.path.to_string_lossy()).collect();
        assert_eq!(paths, ["/d/a", "/d/b", "/d/c"]);
    }

    #[test]
    fn copies_share_a_document_and_part_when_one_changes() {
        check(&[("/d/a", "1"), ("/d/b", "1")], &[], Plan { new: vec!["/d/a".into()], unchanged: 1, ..Plan::default() });
        check(
            &[("/d/a", "2"), ("/d/b", "1")],
            &[("A", "/d/a", "1")],
            Plan { new: vec!["/d/a".into()], moved: one("/d/b", "A"), unchanged: 1, ..Plan::default() },
        );
        // A file that has become a copy of another.
        check(
            &[("/d/a", "2"), ("/d/b", "2")],
            &[("A", "/d/a", "1"), ("B", "/d/b", "2")],
            Plan { gone: one("/d/a", "A"), unchanged: 2, ..Plan::default() },
        );
    }
}
