//! The example clients, each run as a user would run it. One whose interpreter is missing is skipped, and says so; where
//! CI runs, none may be missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::TestApp;

const TEXT: &str = "The battery lasts for ten hours. It is charged by cable.";
const QUESTION: &str = "How long does the \"battery\" last?";

/// Where `ci/tools` puts Python with the packages that the clients need.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    if own.exists() { own } else { PathBuf::from("python3") }
}

/// Whether a client can run here.
fn can_run(program: &Path, args: &[&str]) -> bool {
    let can = Command::new(program).args(args).output().is_ok_and(|output| output.status.success());
    let must = option_env!("CI").is_some();
    assert!(can || !must, "{} {args:?} does not work; run ci/tools", program.display());
    if !can {
        eprintln!("SKIPPED: {} {args:?} does not work here; `make tools` installs it", program.display());
    }
    can
}

async fn run(app: &TestApp, program: PathBuf, script: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients").join(script);
    let mut command = Command::new(program);
    command.arg(script).args(args).env("DOKKAI_URL", &app.url).env("DOKKAI_KEY", "secret").env("NO_PROXY", "*");
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn server() -> TestApp {
    let mut app = TestApp::start_with(&["--api-keys", "a:secret"]).await;
    app.use_key("secret");
    app
}

/// A file to upload.
fn manual() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("battery.txt");
    std::fs::write(&path, TEXT).unwrap();
    (folder, path.to_string_lossy().into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_uploads_and_asks() {
    let bash = PathBuf::from("bash");
    if !can_run(&bash, &["-c", "curl --version"]) {
        return;
    }
    let (app, (_folder, file)) = (server().await, manual());
    let said = run(&app, bash, "curl.sh", &[&file, QUESTION]).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains(r#""status":"ready""#), "{said}");
    assert!(lines[1].contains(r#""answer":"- The battery lasts for ten hours. [1]\n""#), "{said}");
    assert!(said.contains("\nevent: delta\n") && said.contains("\nevent: done\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_uploads_and_asks_without_packages() {
    if !can_run(&python(), &["--version"]) {
        return;
    }
    let (app, (_folder, file)) = (server().await, manual());
    let said = run(&app, python(), "upload.py", &[&file, QUESTION]).await;
    let expected = "battery.txt ready\n- The battery lasts for ten hours. [1]\n\n\
        [1] battery.txt: The battery lasts for ten hours.\n";
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_package_chats() {
    if !can_run(&python(), &["-c", "import openai"]) {
        return;
    }
    let app = server().await;
    app.add("battery.txt", TEXT).await;
    let said = run(&app, python(), "chat.py", &[QUESTION]).await;
    assert!(
        said.starts_with("- The battery lasts for ten hours. [1]\n\n\n**Sources**\n\n- 1: [battery.txt]("),
        "{said}"
    );
    assert!(said.ends_with("\n0 tokens\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_follows_the_events() {
    let node = PathBuf::from("node");
    if !can_run(&node, &["-e", "if (parseInt(process.versions.node) < 18) process.exit(1)"]) {
        return;
    }
    let app = server().await;
    app.add("battery.txt", TEXT).await;
    let said = run(&app, node, "ask.mjs", &[QUESTION]).await;
    assert_eq!(said, "- The battery lasts for ten hours. [1]\n\n[1] battery.txt: The battery lasts for ten hours.\n");
}
