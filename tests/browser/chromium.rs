//! [`Chromium`]: a real browser without a window, driven from outside, whose console is read at the end.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A page open in a browser.
pub(crate) struct Chromium {
    pub(crate) client: Client,
}

/// What kind of browser visits.
#[derive(Clone, Copy)]
pub(crate) struct Visitor<'a> {
    /// The browser's languages, the preferred first.
    pub(crate) languages: &'a str,
    /// The width of the window; below 500 pixels that of a phone.
    pub(crate) width: u32,
    /// What the console may complain of, since the test provokes it.
    pub(crate) provokes: Option<&'a str>,
}

impl Default for Visitor<'_> {
    fn default() -> Self {
        Self { languages: "en-US,en", width: 1280, provokes: None }
    }
}

impl Visitor<'_> {
    /// Opens a page, does something with it, and looks through the browser's console, which must be free of errors,
    /// those of the content security policy included.
    pub(crate) async fn visit(self, url: &str, test: impl AsyncFnOnce(&Chromium)) {
        let profile = tempfile::tempdir().unwrap();
        let driver = Driver::start();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(self.capabilities(profile.path()))
            .connect(&driver.url)
            .await
            .expect("Chromium starts");
        let chromium = Chromium { client };
        let outcome = AssertUnwindSafe(async {
            chromium.client.goto(url).await.unwrap();
            test(&chromium).await;
        })
        .catch_unwind()
        .await;
        let said = driver.console(&chromium.client).await;
        // The browser ends with its session; left alone after a failed test, it would outlive the driver.
        chromium.client.clone().close().await.unwrap();
        if let Err(failed) = outcome {
            eprintln!("the browser's console: {said:#?}");
            resume_unwind(failed);
        }
        let unexpected = said.iter().filter(|line| self.provokes.is_none_or(|text| !line.contains(text)));
        assert_eq!(unexpected.collect::<Vec<_>>(), Vec::<&String>::new(), "the console stays empty");
    }

    fn capabilities(self, profile: &Path) -> Capabilities {
        let mut args: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(format!("--user-data-dir={}", profile.display()));
        args.push(format!("--lang={}", self.languages.split(',').next().unwrap_or_default()));
        args.push(format!("--accept-lang={}", self.languages));
        args.push(format!("--window-size={},900", self.width));
        let mut options = json!({"args": args, "prefs": {"intl.accept_languages": self.languages}});
        if self.width < 500 {
            // No window is that narrow.
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": self.width, "height": 844, "pixelRatio": 1.0, "touch": true}});
        }
        let capabilities = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        capabilities.as_object().unwrap().clone()
    }
}

impl Chromium {
    /// The first element that a CSS selector finds, as soon as there is one.
    pub(crate) async fn see(&self, css: &str) -> Element {
        let found =
            self.client.wait().at_most(PATIENCE).every(Duration::from_millis(50)).for_element(Locator::Css(css));
        match found.await {
            Ok(element) => element,
            Err(error) => panic!("{css} is not on the page ({error}): {}", self.page_text().await),
        }
    }

    /// Waits until an element named `id` holds a text.
    pub(crate) async fn see_text(&self, id: &str, text: &str) {
        self.until(&format!(
            "[...document.querySelectorAll('{}')].some((e) => e.innerText.includes({}))",
            named(id),
            json!(text)
        ))
        .await;
    }

    /// Waits, from one frame that is drawn to the next, until a JavaScript expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1], end = performance.now() + {};
             const look = () => ({expression}) ? done(true) : performance.now() > end ? done(false) : requestAnimationFrame(look);
             look();",
            PATIENCE.as_millis() / 2,
        );
        let held = self.client.execute_async(&script, Vec::new()).await.unwrap();
        assert_eq!(held, json!(true), "{expression} does not hold: {}", self.page_text().await);
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression};"), Vec::new()).await.unwrap()
    }

    /// Runs JavaScript statements.
    pub(crate) async fn run(&self, script: &str) {
        self.client.execute(script, Vec::new()).await.unwrap();
    }

    /// Presses the first element named `id`.
    pub(crate) async fn press(&self, id: &str) {
        self.see(&named(id)).await.click().await.unwrap();
    }

    /// Types into the element named `id`.
    pub(crate) async fn enter(&self, id: &str, keys: &str) {
        self.see(&named(id)).await.send_keys(keys).await.unwrap();
    }

    /// What a reader sees of the first element named `id`.
    pub(crate) async fn text(&self, id: &str) -> String {
        self.see(&named(id)).await.text().await.unwrap()
    }

    /// Asks a question as a user does, without waiting for its answer.
    pub(crate) async fn ask(&self, question: &str) {
        self.enter("ask-box", question).await;
        self.press("ask-send").await;
    }

    /// Waits until a question has ended in this way.
    pub(crate) async fn see_record(&self, status: &str) {
        self.see(&format!("{}[data-status={status}]", named("record"))).await;
    }

    async fn page_text(&self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap_or_default().chars().take(1500).collect()
    }
}

/// The selector of what the page calls `id`.
pub(crate) fn named(id: &str) -> String {
    format!("[data-testid={id}]")
}

/// A running chromedriver.
struct Driver {
    url: String,
    child: Child,
}

impl Driver {
    /// Starts one on a port that it chooses itself. It wants that port on IPv4 and IPv6, and ends where another program
    /// has taken it on one of them; the next attempt chooses another.
    fn start() -> Self {
        (0..5).find_map(|_| Self::attempt()).expect("chromedriver names its port")
    }

    fn attempt() -> Option<Self> {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver is installed (make tools)");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut driver = Self { url: String::new(), child };
        let port = said.find_map(|line| {
            let line = line.unwrap();
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        })?;
        // The rest is read, so that it never waits for a reader.
        std::thread::spawn(move || said.for_each(drop));
        driver.url = format!("http://127.0.0.1:{port}");
        Some(driver)
    }

    /// The errors and warnings of the console so far.
    async fn console(&self, client: &Client) -> Vec<String> {
        let session = client.session_id().await.unwrap().unwrap();
        let url = format!("{}/session/{session}/se/log", self.url);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply =
            http.post(url).json(&json!({"type": "browser"})).send().await.unwrap().json::<Value>().await.unwrap();
        let entries = reply["value"].as_array().unwrap_or_else(|| panic!("no log: {reply}")).iter();
        let serious = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // With everything that it started.
        if let Some(group) = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0)) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
