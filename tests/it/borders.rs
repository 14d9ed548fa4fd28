//! The borders of the house: each library in its own room, each module using only those below it.

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Files under `src` that mention `word` in code, by their path there.
fn mentioning(word: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mentions = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word))
    };
    let relative = |path: PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    sources(&root).into_iter().filter(mentions).map(relative).collect()
}

fn check(word: &str, rooms: &[&str]) {
    let found = mentioning(word);
    assert!(!found.is_empty(), "{word} is mentioned nowhere; the rule has lost its object");
    for file in found {
        assert!(rooms.iter().any(|room| file.starts_with(room)), "{word} in src/{file}; it belongs in {rooms:?}");
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    check("sqlx::", &["store/sqlite"]);
    check("SELECT ", &["store/sqlite"]);
    // The server ends its own listener; everything else of actix is in http.
    check("actix_web", &["http/", "server.rs"]);
    check("actix_multipart", &["http/"]);
    check(" ::tantivy::", &["search/tantivy"]);
    // The commands are clients of a dokkai server, not of the upstream.
    check("reqwest", &["llm/", "cli/client.rs"]);
    // The protocol's own types; served in http, passed on by a command.
    check("rmcp", &["http/mcp", "cli/mcp.rs", "cli/client.rs"]);
    check("std::env::var(", &["config/"]);
    check("StatusCode", &["http/"]);
}

/// What each module may use, by the order of `src/lib.rs`.
#[test]
fn modules_use_only_those_below_them() {
    let above: [(&str, &[&str]); 8] = [
        ("store/", &["cli", "server", "http", "ingest", "answer", "app", "search", "llm"]),
        ("search/", &["cli", "server", "http", "ingest", "answer", "app", "store", "llm"]),
        ("llm/", &["cli", "server", "http", "ingest", "answer", "app", "store", "search"]),
        ("ingest/", &["cli", "server", "http", "answer"]),
        ("answer/", &["cli", "server", "http", "ingest"]),
        ("app.rs", &["cli", "server", "http", "ingest", "answer"]),
        ("live.rs", &["cli", "server", "http", "ingest", "answer", "app"]),
        ("http/", &["cli", "server"]),
    ];
    for (module, forbidden) in above {
        for other in forbidden {
            for way in [format!("crate::{other}::"), format!("crate::{other};"), format!("crate::{{{other}")] {
                let found: Vec<String> = mentioning(&way).into_iter().filter(|file| file.starts_with(module)).collect();
                assert!(found.is_empty(), "{found:?} use {other}, which is above {module} or beside it");
            }
        }
    }
}
