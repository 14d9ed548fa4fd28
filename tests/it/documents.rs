//! Documents: uploaded in every way, searchable, readable, replaceable, gone when deleted.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::form;

const HTML: &str = "<html><head><title>営業時間</title></head><body><h1>営業時間</h1><p>平日は九時から十七時まで営業します。</p></body></html>";

#[tokio::test]
async fn files_of_several_kinds_become_searchable_in_one_request() {
    let app = TestApp::start().await;
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode("返品は商品到着後八日以内に限ります。");
    let documents = app
        .upload(&[
            ("shipping.txt", b"Parcels leave our warehouse within two working days."),
            ("返品.txt", &sjis),
            ("warranty.md", "# Warranty\n\nThe warranty lasts for two years.\n".as_bytes()),
            ("hours.html", HTML.as_bytes()),
        ])
        .await;
    let titles: Vec<&str> = documents.iter().map(|document| document["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["shipping.txt", "返品.txt", "Warranty", "営業時間"]);
    for document in &documents {
        assert_eq!(
            (&document["status"], &document["duplicate"], &document["error"]),
            (&json!("ready"), &json!(false), &Value::Null)
        );
    }
    assert_eq!(app.find("When do parcels leave?").await, ["shipping.txt"]);
    assert_eq!(app.find("商品を返品できる期間").await, ["返品.txt"]);
    assert_eq!(app.find("保証 warranty").await, ["Warranty"]);
    assert_eq!(app.find("平日の営業は何時から").await, ["営業時間"]);
}

#[tokio::test]
async fn texts_come_as_json_one_or_many() {
    let app = TestApp::start().await;
    let one = json!({"title": "利用規約", "text": "解約は月末までに申し出てください。", "collection": "legal", "metadata": {"year": 2026}, "source": "https://example.com/terms"});
    let reply = app.post("/api/documents?wait=true", &one).await;
    assert_eq!(reply.status, StatusCode::OK);
    let id = reply.json()["documents"][0]["id"].as_str().unwrap().to_owned();
    let document = app.get(&format!("/api/documents/{id}")).await.json();
    let fields: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "id",
        "title",
        "status",
        "error",
        "collection",
        "metadata",
        "source",
        "media_type",
        "bytes",
        "language",
        "passages",
        "created_at",
        "updated_at",
        "sha256",
        "progress",
        "warnings",
    ];
    assert_eq!(fields, expected);
    assert_eq!((&document["collection"], &document["metadata"]["year"]), (&json!("legal"), &json!(2026)));
    assert_eq!((&document["source"], &document["language"]), (&json!("https://example.com/terms"), &json!("ja")));

    let many = json!({"documents": [{"text": "first"}, {"title": "no text"}, {"text": ""}, {"text": "fourth"}]});
    let reply = app.post("/api/documents", &many).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let codes: Vec<Value> =
        reply.json()["documents"].as_array().unwrap().iter().map(|d| d["error"]["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, json!("invalid_request"), json!("empty_file"), Value::Null]);
}

#[tokio::test]
async fn the_same_bytes_are_one_document() {
    let app = TestApp::start().await;
    let first = app.upload(&[("a.txt", b"the same bytes")]).await;
    let again = app.upload(&[("b.txt", b"the same bytes")]).await;
    assert_eq!(first[0]["id"], again[0]["id"]);
    assert_eq!((&first[0]["duplicate"], &again[0]["duplicate"]), (&json!(false), &json!(true)));
    let elsewhere =
        Form::new().text("collection", "other").part("file", Part::text("the same bytes").file_name("a.txt"));
    let reply = app.send(app.request(Method::POST, "/api/documents").multipart(elsewhere)).await.json();
    assert_ne!(reply["documents"][0]["id"], first[0]["id"]);
    assert_eq!(app.get("/api/documents").await.json()["total"], 2);
}

#[tokio::test]
async fn text_and_original_can_be_read_back() {
    let app = TestApp::start().await;
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode("改行は\r\n二つ");
    let id = app.upload(&[("日本 語.txt", &sjis)]).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(app.get(&format!("/api/documents/{id}/text")).await.body, "改行は\n二つ");
    let original = app.request(Method::GET, &format!("/api/documents/{id}/original")).send().await.unwrap();
    let disposition = original.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, "attachment; filename*=UTF-8''%E6%97%A5%E6%9C%AC%20%E8%AA%9E.txt");
    assert_eq!(&original.bytes().await.unwrap()[..], &sjis[..]);
}

#[tokio::test]
async fn a_deleted_document_is_gone_at_once_from_everything() {
    let app = TestApp::start().await;
    let id = app.add("Manual", "The reset button is behind the battery.").await;
    app.add("Other", "The battery lasts for a day.").await;
    assert_eq!(app.find("reset button battery").await, ["Manual", "Other"]);
    assert_eq!(app.delete(&format!("/api/documents/{id}")).await.status, StatusCode::NO_CONTENT);
    // No wait: the index may not have followed yet.
    assert_eq!(app.find("reset button battery").await, ["Other"]);
    let record = app.ask("Where is the reset button behind the battery?").await;
    assert!(!record.to_string().contains(&id), "{record}");
    for path in ["", "/text", "/original"] {
        assert_eq!(app.get(&format!("/api/documents/{id}{path}")).await.code(), "document_not_found");
    }
    assert_eq!(app.delete(&format!("/api/documents/{id}")).await.code(), "document_not_found");
    assert_eq!(app.get("/api/documents").await.json()["total"], 1);
}

#[tokio::test]
async fn a_replaced_document_keeps_its_id_and_loses_its_old_text() {
    let app = TestApp::start().await;
    let id = app.add("Prices", "The old price is ten dollars.").await;
    let body = json!({"text": "The new price is twelve dollars."});
    let path = format!("/api/documents/{id}");
    let reply = app.send(app.request(Method::PUT, &path).json(&body)).await;
    assert_eq!((reply.status, &reply.json()["title"]), (StatusCode::OK, &json!("Prices")));
    // The same content again only waits.
    app.post("/api/documents?wait=true", &body).await;
    let hits = app.get("/api/search?q=price").await.json();
    assert_eq!(hits["hits"].as_array().unwrap().len(), 1);
    assert_eq!(hits["hits"][0]["passage"]["text"], "The new price is twelve dollars.");
    assert_eq!(hits["hits"][0]["document_id"], json!(id));
}

#[tokio::test]
async fn title_metadata_and_collection_can_be_changed() {
    let app = TestApp::start().await;
    let id = app.add("Draft", "Holidays are announced in spring.").await;
    let path = format!("/api/documents/{id}");
    let patch = json!({"title": "Holidays", "metadata": {"team": "hr"}, "collection": "staff"});
    let patched = app.send(app.request(Method::PATCH, &path).json(&patch)).await.json();
    assert_eq!(
        (&patched["title"], &patched["metadata"]["team"], &patched["status"]),
        (&json!("Holidays"), &json!("hr"), &json!("ready"))
    );
    let outside = app.get("/api/search?q=holidays&collection=default").await.json();
    assert_eq!(outside["hits"], json!([]), "it is in another collection from now on");
    let wrong = app.send(app.request(Method::PATCH, &path).json(&json!({"titel": "x"}))).await;
    assert_eq!(wrong.code(), "invalid_request");
    let empty = app.send(app.request(Method::PATCH, &path).json(&json!({"title": " "}))).await;
    assert_eq!(empty.code(), "invalid_parameter");
}

#[tokio::test]
async fn a_bad_file_spoils_no_other_and_says_why() {
    let app = TestApp::start_with(&["--max-upload-mb", "1"]).await;
    let large = vec![b'a'; 1024 * 1024 + 1];
    let gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let documents =
        app.upload(&[("large.txt", &large), ("good.txt", b"a good file"), ("empty.txt", b""), ("p.gif", gif)]).await;
    let seen: Vec<(Value, Value)> =
        documents.iter().map(|d| (d["status"].clone(), d["error"]["code"].clone())).collect();
    let failed = |code: &str| (json!("failed"), json!(code));
    assert_eq!(
        seen,
        [failed("too_large"), (json!("ready"), Value::Null), failed("empty_file"), failed("unsupported_type")]
    );

    let only_bad =
        app.send(app.request(Method::POST, "/api/documents").multipart(form(&[("large.txt", &large)]))).await;
    assert_eq!((only_bad.status, only_bad.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));

    // The one that was taken in and could not be read keeps its reason and can be tried again.
    let id = documents[3]["id"].as_str().unwrap();
    let kept = app.get(&format!("/api/documents/{id}")).await.json();
    assert_eq!((&kept["status"], &kept["error"]["code"]), (&json!("failed"), &json!("unsupported_type")));
    let retried = app.post(&format!("/api/documents/{id}/retry"), &json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    let good = documents[1]["id"].as_str().unwrap();
    assert_eq!(app.post(&format!("/api/documents/{good}/retry"), &json!({})).await.code(), "document_not_failed");
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let app = TestApp::start().await;
    for n in 0..5 {
        app.add(&format!("Document {n}"), &format!("text number {n}")).await;
    }
    let first = app.get("/api/documents?limit=3").await.json();
    assert_eq!((first["documents"].as_array().unwrap().len(), &first["total"]), (3, &json!(5)));
    assert_eq!(first["documents"][0]["title"], "Document 4");
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("/api/documents?limit=3&cursor={cursor}")).await.json();
    assert_eq!((rest["documents"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
    assert_eq!(app.get("/api/documents?status=failed").await.json()["total"], 0);
    assert_eq!(app.get("/api/documents?collection=none").await.json()["total"], 0);
    for wrong in ["status=gone", "limit=0", "limit=x", "cursor=zzz"] {
        let reply = app.get(&format!("/api/documents?{wrong}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
        reply.code();
    }
}

#[tokio::test]
async fn search_shows_the_passage_with_exact_offsets_and_highlights() {
    let app = TestApp::start().await;
    let id = app.add("水道", "ご案内\n\n水道料金の支払期限は、検針日の翌月20日です。").await;
    let found = app.get("/api/search?q=支払期限").await.json();
    assert_eq!((&found["query"], &found["mode"]), (&json!("支払期限"), &json!("lexical")));
    assert!(found["took_ms"].is_u64());
    let hit = &found["hits"][0];
    assert_eq!((&hit["document_id"], &hit["title"]), (&json!(id), &json!("水道")));
    let passage = &hit["passage"];
    let text: Vec<char> = app.get(&format!("/api/documents/{id}/text")).await.body.chars().collect();
    let at = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let stands: String = text[at(&passage["start"])..at(&passage["end"])].iter().collect();
    assert_eq!(passage["text"], stands);
    let chars: Vec<char> = stands.chars().collect();
    let marked: Vec<String> = passage["highlights"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range| chars[at(&range[0])..at(&range[1])].iter().collect())
        .collect();
    assert_eq!(marked.concat(), "支払期限");
    assert_eq!(app.get("/api/search?q=").await.code(), "invalid_parameter");
    assert_eq!(app.get("/api/search?q=x&limit=101").await.code(), "invalid_parameter");
    assert_eq!(app.get("/api/search?q=x&mode=magic").await.code(), "invalid_request");
}

#[tokio::test]
async fn the_tokens_of_a_text_are_shown() {
    let app = TestApp::start().await;
    let shown = app.get("/api/search/analyze?text=the Wings 水道").await.json();
    let token =
        |text: &str, kind: &str, start: u32, end: u32| json!({"text": text, "kind": kind, "start": start, "end": end});
    let expected = [
        token("the", "stop", 0, 3),
        token("wing", "word", 4, 9),
        token("水道", "word", 10, 12),
        token("水道", "gram", 10, 12),
        token("道", "gram", 11, 12),
    ];
    assert_eq!(shown["tokens"], json!(expected));
    assert_eq!(app.get("/api/search/analyze").await.code(), "invalid_parameter");
    assert_eq!(app.get(&format!("/api/search/analyze?text={}", "x".repeat(2_001))).await.code(), "invalid_parameter");
}
