//! `dokkai ingest --watch`: the collection follows the folder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::process::{Process, command, run};

/// A command that watches a folder; each of its lines is one round.
struct Watching {
    child: Child,
    rounds: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(data: &Path, docs: &Path) -> Self {
        let mut command = command(data);
        command.args(["ingest", "--watch", "--json"]).arg(docs).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let rounds = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, rounds }
    }

    /// Reads rounds until one of them makes `done` true of all that happened so far: kind and file name.
    fn until(&mut self, done: impl Fn(&[(String, String)]) -> bool) {
        let mut seen = Vec::new();
        while !done(&seen) {
            let round: Value = serde_json::from_str(&self.rounds.next().expect("the watch ended").unwrap()).unwrap();
            for kind in ["new", "changed", "moved", "gone"] {
                for entry in round["plan"][kind].as_array().unwrap() {
                    let path = PathBuf::from(entry.as_str().or(entry[0].as_str()).unwrap());
                    seen.push((kind.to_owned(), path.file_name().unwrap().to_string_lossy().into_owned()));
                }
            }
        }
    }

    fn until_one(&mut self, kind: &str, name: &str) {
        self.until(|seen| seen.iter().any(|one| one.0 == kind && one.1 == name));
    }

    fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watched_folder_is_followed_through_bursts_partial_writes_renames_and_deletions() {
    let folder = tempfile::tempdir().unwrap();
    let docs = folder.path().join("docs");
    std::fs::create_dir(&docs).unwrap();
    let write = |name: &str, text: &str| std::fs::write(docs.join(name), text).unwrap();
    write("fee.txt", "The fee is one hundred yen.");
    let server = Process::serve(folder.path(), &[]);
    let mut watching = Watching::start(folder.path(), &docs);
    watching.until_one("new", "fee.txt");

    // A burst of files, one of them in a new folder and one in pieces.
    let mut slow = std::fs::File::create(docs.join("slow.txt")).unwrap();
    slow.write_all(b"The first half").unwrap();
    std::fs::create_dir(docs.join("deep")).unwrap();
    for number in 0..50 {
        write(&format!("deep/{number}.txt"), &format!("Document number {number} of a burst."));
    }
    watching.until(|seen| seen.iter().filter(|one| one.0 == "new").count() >= 51);
    slow.write_all(b", and the other half.").unwrap();
    drop(slow);
    watching.until_one("changed", "slow.txt");

    std::fs::rename(docs.join("fee.txt"), docs.join("fees.txt")).unwrap();
    watching.until_one("moved", "fees.txt");
    std::fs::remove_file(docs.join("deep/7.txt")).unwrap();
    watching.until_one("gone", "7.txt");

    let found = |words: &str| -> Value {
        serde_json::from_slice(&run(folder.path(), &["search", words, "--json"]).stdout).unwrap()
    };
    assert_eq!(found("other half")["hits"][0]["passage"]["text"], "The first half, and the other half.");
    let total = run(folder.path(), &["ingest", "--sync", "--dry-run", "--json", &docs.to_string_lossy()]);
    let plan: Value = serde_json::from_slice(&total.stdout).unwrap();
    assert_eq!(plan["plan"], json!({"new": [], "changed": [], "moved": [], "gone": [], "unchanged": 51}));
    assert_eq!(watching.interrupt(), Some(0));
    drop(server);
}
