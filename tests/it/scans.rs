//! Scans and images: read where `tesseract` is installed, refused with what to do where it is not.

use dokkai::ingest::extract::Ocr;
use serde_json::{Value, json};

use crate::support::TestApp;

const SCANNED_PDF: &[u8] = include_bytes!("../fixtures/scanned.pdf");
const PAGES_TIFF: &[u8] = include_bytes!("../fixtures/pages.tiff");
const DEPOSIT_PNG: &[u8] = include_bytes!("../fixtures/deposit.png");
const BLANK_PDF: &[u8] = include_bytes!("../fixtures/scan.pdf");

#[tokio::test]
async fn images_are_refused_with_what_to_do_where_they_are_not_to_be_read() {
    let app = TestApp::start_with(&["--ocr", "off"]).await;
    for document in app.upload(&[("blank.pdf", BLANK_PDF), ("deposit.png", DEPOSIT_PNG), ("p.tiff", PAGES_TIFF)]).await
    {
        assert_eq!(document["error"]["code"], "scanned_without_text", "{document}");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("install tesseract") && message.contains("DOKKAI_OCR=auto"), "{message}");
    }
    // The page with text is kept, and the document says that there is more.
    let mixed = &app.upload(&[("scanned.pdf", SCANNED_PDF)]).await[0];
    let id = mixed["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/api/documents/{id}/text")).await.body, "The rent is due on the first of each month.");
    let document: Value = app.get(&format!("/api/documents/{id}")).await.json();
    assert_eq!(document["warnings"], json!(["2 of 3 pages have no text layer"]));
}

#[tokio::test]
async fn scans_and_images_are_read_where_tesseract_is_installed() {
    if Ocr::find().await.is_none_or(|ocr| ocr.languages() != "jpn+eng") {
        eprintln!("SKIPPED: tesseract with jpn and eng is not installed, so no scan is read here");
        return;
    }
    let app = TestApp::start().await;
    let files = [
        ("scanned.pdf", SCANNED_PDF),
        ("pages.tiff", PAGES_TIFF),
        ("deposit.png", DEPOSIT_PNG),
        ("blank.pdf", BLANK_PDF),
    ];
    let documents = app.upload(&files).await;
    let states: Vec<&Value> = documents.iter().map(|document| &document["status"]).collect();
    assert_eq!(states, ["ready", "ready", "ready", "failed"], "{documents:?}");
    assert_eq!(documents[3]["error"]["code"], "scanned_without_text");

    // Of the scan in a PDF each page is known, the one with a text layer between the others.
    let hit = async |question: &str, title: &str| {
        let found = app.get(&format!("/api/search?q={question}&limit=10")).await.json();
        let hits = found["hits"].as_array().unwrap();
        hits.iter().find(|hit| hit["title"] == title).unwrap_or_else(|| panic!("{question}: {found}"))["passage"]
            .clone()
    };
    for (question, title) in [
        ("水道料金", "scanned.pdf"),
        ("deposit", "scanned.pdf"),
        ("水道料金", "pages.tiff"),
        ("deposit", "deposit.png"),
    ] {
        hit(question, title).await;
    }
    let id = documents[0]["id"].as_str().unwrap();
    let text = app.get(&format!("/api/documents/{id}/text")).await.body;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words} in {text}"));
    assert!(at("水道料金") < at("The rent is due") && at("The rent is due") < at("The deposit"), "{text}");
    let document: Value = app.get(&format!("/api/documents/{id}")).await.json();
    let warnings = document["warnings"].to_string();
    assert!(warnings.contains("text_from_ocr: page 1, 3 was read from its image"), "{warnings}");
}
