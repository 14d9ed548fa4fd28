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
    /// Whether the browser prefers dark pages.
    pub(crate) dark: bool,
    /// What the console may complain of, since the test provokes it.
    pub(crate) provokes: Option<&'a str>,
}

/// The width of a wide screen and that of a phone.
pub(crate) const WIDTHS: [u32; 2] = [1280, 390];

impl Default for Visitor<'_> {
    fn default() -> Self {
        Self { languages: "en-US,en", width: 1280, dark: false, provokes: None }
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
            if self.dark {
                driver.prefer_dark(&chromium.client).await;
            }
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

    /// From now on, a file that the page saves is in `window.saved` and its name in `window.savedAs`.
    pub(crate) async fn catch_saved(&self) {
        self.run(
            "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return '#'; };
             HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };",
        )
        .await;
    }

    /// Presses the first element named `id`.
    pub(crate) async fn press(&self, id: &str) {
        let element = self.see(&named(id)).await;
        // The driver would bring it to the window's edge, where it may lie under what stays in place there.
        let argument = serde_json::to_value(&element).unwrap();
        self.client.execute("arguments[0].scrollIntoView({ block: 'center' });", vec![argument]).await.unwrap();
        element.click().await.unwrap();
    }

    /// Types into the element named `id`.
    pub(crate) async fn enter(&self, id: &str, keys: &str) {
        self.see(&named(id)).await.send_keys(keys).await.unwrap();
    }

    /// Chooses an option of the list named `id` by its value.
    pub(crate) async fn choose(&self, id: &str, value: &str) {
        self.see(&named(id)).await.select_by_value(value).await.unwrap();
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

    /// Waits until the latest question has ended in this way.
    pub(crate) async fn see_record(&self, status: &str) {
        self.see(&format!("{}[data-status={status}]:last-child", named("record"))).await;
    }

    /// Waits until so many of the elements that a CSS selector finds are shown.
    pub(crate) async fn count(&self, css: &str, count: usize) {
        let css = json!(css);
        let shown = format!("[...document.querySelectorAll({css})].filter((e) => e.checkVisibility()).length");
        self.until(&format!("{shown} === {count}")).await;
    }

    /// What axe finds wrong with the page as it stands, for those who do not see it, or not well.
    pub(crate) async fn violations(&self) -> Vec<String> {
        if self.value("typeof window.axe").await == "undefined" {
            let packed: &[u8] = include_bytes!("axe.min.js.zst");
            let script = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
            self.run(&script).await;
        }
        let script = "const done = arguments[arguments.length - 1];
            const tell = ({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`);
            axe.run(document, { resultTypes: ['violations'] })
              .then(({ violations }) => done(violations.flatMap(tell)), (error) => done([String(error)]));";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// Whether everything stands within the window's width.
    pub(crate) async fn fits(&self) -> bool {
        self.until("document.fonts.status === 'loaded'").await;
        self.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth").await == true
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

    /// Tells pages that the reader prefers dark ones.
    async fn prefer_dark(&self, client: &Client) {
        let features = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
        let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        let reply = self.post(client, "goog/cdp/execute", &command).await;
        assert!(reply["value"].get("error").is_none(), "{reply}");
    }

    /// A command that the client library does not know.
    async fn post(&self, client: &Client, command: &str, body: &Value) -> Value {
        let session = client.session_id().await.unwrap().unwrap();
        let url = format!("{}/session/{session}/{command}", self.url);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        http.post(url).json(body).send().await.unwrap().json().await.unwrap()
    }

    /// The errors and warnings of the console so far.
    async fn console(&self, client: &Client) -> Vec<String> {
        let reply = self.post(client, "se/log", &json!({"type": "browser"})).await;
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
