//! Packaged formats from upload bytes to text, and hostile files: each ends in its code and costs nothing else.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use dokkai::error::Code;
use dokkai::ingest::extract::{ExtractError, Extracted, Extractor, Input};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::support::TestApp;

async fn read(name: &str, bytes: impl Into<Vec<u8>>) -> Result<Extracted, ExtractError> {
    let extractor = Extractor::new(PathBuf::from(env!("CARGO_BIN_EXE_dokkai")));
    extractor.extract(Input { bytes: bytes.into().into(), name: Some(name.to_owned()), declared_type: None }).await
}

/// A ZIP file with these entries.
fn packed(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn docx(body: &str) -> Vec<u8> {
    let types = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#;
    let rels = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#;
    let document = format!(
        r#"<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>"#
    );
    packed(&[
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", rels.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ])
}

fn odt(content: &str) -> Vec<u8> {
    packed(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", b"<manifest/>"),
        ("meta.xml", "<m><dc:title>料金 &amp; 支払い</dc:title></m>".as_bytes()),
        ("content.xml", content.as_bytes()),
    ])
}

fn epub(chapter: &str) -> Vec<u8> {
    packed(&[
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", br#"<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles><rootfile full-path="b.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"#),
        ("b.opf", r#"<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">x</dc:identifier><dc:title>坊っちゃん</dc:title><dc:language>ja</dc:language></metadata><manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="c"/></spine></package>"#.as_bytes()),
        ("c.xhtml", chapter.as_bytes()),
    ])
}

#[tokio::test]
async fn packaged_formats_keep_their_structure() {
    let check = async |name: &str, bytes: Vec<u8>, media: &str, title: Option<&str>, text: &str| {
        let found = read(name, bytes).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((found.text.as_str(), found.title.as_deref()), (text, title), "{name}");
        assert!(found.media_type.contains(media), "{name}: {}", found.media_type);
    };
    let paragraph = "<w:p><w:r><w:t>期限は</w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>20日</w:t></w:r></w:p>";
    let cell = |text: &str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
    let row = |a: &str, b: &str| format!("<w:tr>{}{}</w:tr>", cell(a), cell(b));
    let table = format!("<w:tbl>{}{}</w:tbl>", row("種別", "円"), row("家庭用", "1"));
    let text = "期限は20日\n\n| 種別 | 円 |\n| --- | --- |\n| 家庭用 | 1 |";
    check("a.docx", docx(&format!("{paragraph}{table}")), "wordprocessingml", None, text).await;
    let content = "<o><text:h text:outline-level=\"1\">水道</text:h><text:p>a<text:s text:c=\"2\"/>b&lt;<text:span>c</text:span></text:p>\
        <text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two</text:p></text:list-item></text:list></text:list-item></text:list>\
        <table:table table:name=\"Table1\"><table:table-row><table:table-cell><text:p>種別</text:p></table:table-cell><table:table-cell><text:p>円</text:p></table:table-cell><table:table-cell table:number-columns-repeated=\"16000\"/></table:table-row>\
        <table:table-row><table:table-cell><text:p>家庭用</text:p></table:table-cell><table:table-cell><text:p>1</text:p></table:table-cell></table:table-row></table:table></o>";
    let text = "# 水道\n\na  b<c\n\n- one\n  - two\n\n| 種別 | 円 |\n| --- | --- |\n| 家庭用 | 1 |";
    check("a.bin", odt(content), "opendocument.text", Some("料金 & 支払い"), text).await;
    let chapter = "<html xmlns='http://www.w3.org/1999/xhtml'><head><title>x</title></head><body><h1>一</h1><p>親譲りの<ruby>無鉄砲<rt>むてっぽう</rt></ruby>で</p></body></html>";
    check("a.epub", epub(chapter), "epub", Some("坊っちゃん"), "# 一\n\n親譲りの無鉄砲で").await;
    let inner = docx(paragraph);
    let zip = packed(&[
        ("../../etc/規約.md", "# 規約\n\n本文".as_bytes()),
        ("__MACOSX/._a.md", b"no"),
        ("b/c.docx", &inner),
        ("x.bin", &[0, 1, 2, 3, 4, 5, 6, 7, 14, 15, 16]),
    ]);
    check("a.zip", zip.clone(), "zip", None, "# etc/規約.md\n\n## 規約\n\n本文\n\n# b/c.docx\n\n期限は20日").await;
    let warnings = read("a.zip", zip).await.unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("x.bin: "), "{warnings:?}");
}

/// Files made to harm their reader, and the codes that they must end in.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static [Code])> {
    let zeros = vec![b'a'; 600 << 20];
    let bomb = packed(&[("a.txt", &zeros)]);
    drop(zeros);
    // The size is declared small, in the directory and at the entry.
    let mut liar = bomb.clone();
    let size = (600_u32 << 20).to_le_bytes();
    while let Some(at) = liar.windows(4).position(|window| window == size) {
        liar[at..at + 4].copy_from_slice(&[16, 0, 0, 0]);
    }
    let mut declared = packed(&[("a.txt", b"small")]);
    while let Some(at) =
        declared.windows(8).position(|window| window == [5, 0, 0, 0, 5, 0, 0, 0] || window == [7, 0, 0, 0, 5, 0, 0, 0])
    {
        declared[at + 4..at + 8].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    }
    let mut nested = packed(&[("a.txt", b"words")]);
    for _ in 0..6 {
        nested = packed(&[("a.zip", &nested)]);
    }
    let mut locked = packed(&[("a.txt", b"words")]);
    let directory = locked.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    locked[6] |= 1;
    locked[directory + 8] |= 1;
    let mut lol = String::from("<?xml version='1.0'?><!DOCTYPE r [<!ENTITY l0 'lol'>");
    for level in 1..10 {
        lol += &format!("<!ENTITY l{level} '{}'>", format!("&l{};", level - 1).repeat(10));
    }
    lol += "]><r>&l9;</r>";
    let cyclic = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2/Parent 2 0 R>>endobj\ntrailer<</Root 1 0 R/Size 3>>\n%%EOF".to_vec();
    let sealed = packed(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", b"<manifest:encryption-data/>"),
        ("content.xml", b"\x01\x02"),
    ]);
    let deep = docx(&format!("{}x{}", "<w:tbl><w:tr><w:tc>".repeat(100_000), "</w:tc></w:tr></w:tbl>".repeat(100_000)));
    let any_end: &[Code] = &[Code::Malformed, Code::ExtractionCrashed, Code::ExtractionLimit, Code::EmptyFile];
    vec![
        ("bomb.zip", bomb, &[Code::UnsafeFile]),
        ("liar.zip", liar, &[Code::UnsafeFile, Code::Malformed]),
        ("declared.zip", declared, &[Code::UnsafeFile]),
        ("nested.zip", nested, &[Code::UnsafeFile]),
        ("locked.zip", locked, &[Code::Encrypted]),
        ("sealed.odt", sealed, &[Code::Encrypted]),
        ("cut.docx", docx("<w:p/>")[..200].to_vec(), &[Code::Malformed]),
        ("lol.xml", lol.into_bytes(), &[Code::UnsafeFile]),
        ("deep.docx", deep, any_end),
        ("deep.xml", "<d>".repeat(300_000).into_bytes(), any_end),
        ("deep.json", [b"[1]\n".to_vec(), "[".repeat(300_000).into_bytes()].concat(), any_end),
        ("deep.rtf", format!("{{\\rtf1{}", "{\\b ".repeat(300_000)).into_bytes(), any_end),
        ("cyclic.pdf", cyclic, any_end),
    ]
}

#[tokio::test]
async fn hostile_files_end_in_their_code_and_the_server_serves_on() {
    let app = TestApp::start().await;
    let files = hostile();
    for (name, bytes, expected) in &files {
        match read(name, bytes.clone()).await {
            Err(error) => assert!(expected.contains(&error.code), "{name}: {:?} {error}", error.code),
            // What can be read of a deep text is text; what counts is that reading ended.
            Ok(found) => assert!(name.starts_with("deep"), "{name}: {:.200}", found.text),
        }
    }
    // The same through the server: each fails alone, and what comes after is read.
    for (name, bytes, _) in files.iter().filter(|(name, ..)| !name.starts_with("deep")) {
        let uploaded = app.upload(&[(*name, bytes.as_slice())]).await;
        assert_eq!(uploaded[0]["status"], "failed", "{name}: {uploaded:?}");
    }
    let served = app.upload(&[("after.docx", &docx("<w:p><w:r><w:t>still here</w:t></w:r></w:p>"))]).await;
    assert_eq!(served[0]["status"], "ready", "{served:?}");
}
