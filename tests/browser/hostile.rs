//! Hostile documents and answers: nothing of them runs, and nothing is fetched for them.

use std::net::TcpListener;

use serde_json::json;

use super::REFUND;
use super::app::TestApp;
use super::chromium::{Visitor, WIDTHS};
use super::fake_llm::{Answer, FakeLlm};

#[tokio::test]
async fn markup_in_documents_and_answers_stays_text() {
    let evil = "<img src=x onerror=\"window.struck=1\"><script>window.struck=1</script>";
    let fake = FakeLlm::start().await;
    let answer = format!("Goods {evil} [1] [press](javascript:window.struck=1) ![](https://example.com/x.png)");
    fake.when().model("gpt-4.1").always(Answer::text(answer));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    app.add(&format!("Returns {evil}"), &format!("Goods can be returned {evil} within 30 days.")).await;
    Visitor::default()
        .visit(&app.url, async |page| {
            page.ask(&format!("Within how many days can goods be returned? {evil}")).await;
            page.see_record("complete").await;
            let foreign = "document.querySelectorAll('main img, main script, dialog img, dialog script, [href^=\"javascript:\"]').length";
            assert_eq!(page.value(foreign).await, 0);
            assert!(page.text("answer").await.contains("< script>window.struck=1"), "{}", page.text("answer").await);
            page.press("citation").await;
            page.see_text("viewer-quote", "<img src=x").await;
            assert_eq!(page.value(foreign).await, 0);
            page.press("viewer-close").await;
            page.until("!document.querySelector('[data-testid=viewer]')").await;
            page.press("nav-documents").await;
            page.enter("search-box", "returned\n").await;
            page.see_text("hits", "<img src=x").await;
            page.press("nav-activity").await;
            page.see_text("questions", "<script>").await;
            assert_eq!(page.value(foreign).await, 0);
            assert_eq!(page.value("window.struck === undefined").await, true);
        })
        .await;
}

/// A server that nobody should call, and a text full of what might call it.
fn beacons() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let row = |cell: &str| format!("|{}\n", format!(" {cell} |").repeat(41));
    let cells: String = (0..150).map(|n| row(&format!("wide cell {n}"))).collect();
    let table = [row("h"), row("---"), cells].concat();
    let text = format!(
        "![pixel]({url}/a.png) <img src=\"{url}/b.png\"> <link rel=stylesheet href=\"{url}/c.css\"> \
         <svg onload=\"window.struck=1\"><image href=\"{url}/d.png\"/></svg> <iframe src=\"{url}/e\"></iframe> \
         <style>@import url({url}/f.css);</style> [press](javascript:window.struck=1) \
         [data](data:text/html,<script>window.struck=1</script>) <a href=\"  JaVaScRiPt:window.struck=1\">x</a> \
         <video poster=\"{url}/g.png\"></video>\n\n{table}"
    );
    (listener, text)
}

#[tokio::test]
async fn beacons_are_never_fetched_and_a_huge_table_stays_within_the_page() {
    let (listener, evil) = beacons();
    let fake = FakeLlm::start().await;
    fake.when().model("gpt-4.1").always(Answer::text(format!("Goods can be returned [1].\n\n{evil}")));
    let app = TestApp::start_with(&["--llm-base-url", &fake.url()]).await;
    app.add("Returns", &format!("{REFUND}\n\n{evil}")).await;
    for width in WIDTHS {
        Visitor { width, ..Visitor::default() }
            .visit(&app.url, async |page| {
                page.ask("Within how many days can goods be returned?").await;
                page.see_record("complete").await;
                assert!(page.fits().await, "the answer is as wide as the window at {width}");
                page.run("for (const details of document.querySelectorAll('details')) details.open = true;").await;
                page.press("citation").await;
                page.see_text("viewer-text", "Goods can be returned").await;
                let active = "img, iframe, video, object, embed, style, image, [onload], [onerror]";
                let links = "[...document.links].filter((a) => !/^(https?:|#)/.test(a.getAttribute('href')))";
                let foreign =
                    format!("[...document.querySelectorAll({}), ...{links}].map((e) => e.outerHTML)", json!(active));
                assert_eq!(page.value(&foreign).await, json!([]));
                assert_eq!(page.value("window.struck === undefined").await, true);
                page.press("viewer-close").await;
            })
            .await;
    }
    let called = listener.accept();
    assert!(called.is_err(), "something was fetched: {called:?}");
}
