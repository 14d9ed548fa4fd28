//! One bad document never spoils the others: reading happens in a process that may crash, hang or flood.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use dokkai::error::Code;
use dokkai::ingest::extract::{ExtractError, Extracted, Extractor, Input, Limits, Markup};

fn extractor() -> Extractor {
    Extractor::new(PathBuf::from(env!("CARGO_BIN_EXE_dokkai")))
}

/// A program that behaves as a broken reader would.
fn broken(behaviour: &str) -> Extractor {
    Extractor::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workers").join(behaviour))
}

fn file(bytes: impl Into<Bytes>, name: &str) -> Input {
    Input { bytes: bytes.into(), name: Some(name.to_owned()), declared_type: None }
}

#[expect(clippy::unwrap_used, reason = "a missing fixture is a broken checkout")]
fn fixture(name: &str) -> Input {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    file(std::fs::read(path).unwrap(), name)
}

fn page(body: &str) -> Input {
    file(format!("<!DOCTYPE html><title>料金</title><body>{body}"), "page.html")
}

fn code(result: Result<Extracted, ExtractError>) -> Result<String, Code> {
    result.map(|found| found.text).map_err(|error| error.code)
}

#[tokio::test]
async fn a_page_is_read_in_a_worker() {
    let found = extractor().extract(page("<nav>menu</nav><h1>水道</h1><p>期限は<b>20日</b>です。")).await.unwrap();
    assert_eq!(found.text, "# 水道\n\n期限は20日です。");
    assert_eq!(found.title.as_deref(), Some("料金"));
    assert_eq!(found.markup, Markup::Markdown);
    assert_eq!((found.media_type.as_str(), found.language.as_deref()), ("text/html", Some("ja")));
}

#[tokio::test]
async fn text_is_read_without_a_worker() {
    let nowhere = Extractor::new(PathBuf::from("/nonexistent"));
    assert_eq!(code(nowhere.extract(file("# 水道\r\n本文", "a.md")).await), Ok("# 水道\n本文".to_owned()));
    assert_eq!(code(nowhere.extract(page("text")).await), Err(Code::Internal));
}

#[tokio::test]
async fn a_reader_that_fails_fails_its_document_alone() {
    let quick = Limits { wall: Duration::from_millis(300), output: 10_000, ..Limits::default() };
    let check = async |behaviour: &str, expected: Code| {
        let patient = if behaviour == "hangs" { quick } else { Limits { output: 10_000, ..Limits::default() } };
        let result = broken(behaviour).with_limits(patient).extract(page("text")).await;
        assert_eq!(code(result), Err(expected), "{behaviour}");
    };
    check("hangs", Code::ExtractionLimit).await;
    check("crashes", Code::ExtractionCrashed).await;
    check("floods", Code::ExtractionLimit).await;
    check("babbles", Code::ExtractionCrashed).await;
}

#[tokio::test]
async fn memory_time_and_output_of_the_real_reader_are_bounded() {
    let check = async |what: &str, body: String, limits: Limits| {
        let result = extractor().with_limits(limits).extract(page(&body)).await;
        let error = result.expect_err(what);
        assert_eq!(error.code, Code::ExtractionLimit, "{what}");
        assert!(error.message.contains(what), "{what}: {error}");
    };
    let usual = Limits::default();
    check("memory", "<p>words</p>".repeat(500_000), Limits { memory: 200 << 20, ..usual }).await;
    check("text", "<p>words</p>".repeat(1_000), Limits { output: 1_000, ..usual }).await;
    check("long", "<div>".repeat(500_000), Limits { cpu: Duration::from_secs(1), ..usual }).await;
}

#[tokio::test]
async fn nesting_deeper_than_the_stack_fails_its_document_alone() {
    let result = extractor().extract(file(nested_pdf(300_000), "deep.pdf")).await;
    assert_eq!(code(result), Err(Code::ExtractionCrashed));
    // Depending on the build, the reader runs out of stack or of time.
    let quick = Limits { cpu: Duration::from_secs(1), ..Limits::default() };
    let result = code(extractor().with_limits(quick).extract(page(&"<div>".repeat(60_000))).await);
    assert!(matches!(result, Err(Code::ExtractionCrashed | Code::ExtractionLimit)), "{result:?}");
    assert_eq!(code(extractor().extract(page("still here")).await), Ok("still here".to_owned()));
}

/// A page with an array of arrays of arrays.
fn nested_pdf(depth: usize) -> String {
    let nested = "[".repeat(depth) + &"]".repeat(depth);
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        format!("<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/X {nested}>>"),
    ];
    let mut pdf = String::from("%PDF-1.4\n");
    let mut table = String::from("xref\n0 4\n0000000000 65535 f \n");
    for (number, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", pdf.len());
        pdf += &format!("{} 0 obj\n{object}\nendobj\n", number + 1);
    }
    let start = pdf.len();
    format!("{pdf}{table}trailer<</Size 4/Root 1 0 R>>\nstartxref\n{start}\n%%EOF")
}

#[tokio::test]
async fn a_dropped_extraction_ends_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let task = format!("<html>\n{}\n", pipe.display());
    let extraction = tokio::spawn(async move { broken("holds").extract(file(task, "page.html")).await });
    // Opens once the reader has opened its end, and reads to the end once the reader is gone.
    let opened = tokio::task::spawn_blocking(move || std::fs::File::open(pipe)).await.unwrap().unwrap();
    extraction.abort();
    let rest = tokio::task::spawn_blocking(move || std::io::read_to_string(opened));
    let rest = tokio::time::timeout(Duration::from_secs(20), rest).await;
    assert_eq!(rest.expect("the reader still runs").unwrap().unwrap(), "");
}

#[tokio::test]
async fn a_japanese_pdf_gives_text_title_and_pages() {
    let found = extractor().extract(fixture("bill.pdf")).await.unwrap();
    assert!(found.text.contains("水道料金の支払期限は、検針日の翌月20日です。"), "{}", found.text);
    assert_eq!(found.language.as_deref(), Some("ja"));
    assert_eq!(found.pages.iter().map(|(page, _)| *page).collect::<Vec<_>>(), [1, 2]);
    let second: String = found.text.chars().skip(found.pages[1].1).collect();
    assert!(second.starts_with("二ページ目"), "{second}");
}

#[tokio::test]
async fn a_word_97_file_keeps_headings_and_tables() {
    // Written by LibreOffice.
    let found = extractor().extract(fixture("word97.doc")).await.unwrap();
    let text = "# 水道料金の案内\n\n支払期限は、検針日の翌月20日です。The deposit is returned within 14 days.\n\n\
                | 種別 | 円 |\n| --- | --- |\n| 家庭用 | 1200 |";
    assert_eq!((found.text.as_str(), found.title.as_deref()), (text, Some("水道料金の案内")));
    assert_eq!(found.media_type, "application/msword");
}

#[tokio::test]
async fn pdfs_without_text_say_why() {
    assert_eq!(code(extractor().extract(fixture("locked.pdf")).await), Err(Code::Encrypted));
    assert_eq!(code(extractor().extract(fixture("scan.pdf")).await), Err(Code::ScannedWithoutText));
    let cut = fixture("bill.pdf").bytes.slice(..300);
    assert_eq!(code(extractor().extract(file(cut, "cut.pdf")).await), Err(Code::Malformed));
}
