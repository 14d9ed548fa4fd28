//! Documents: adding and watching them, finding them, what they say.

use serde_json::json;

use super::app::TestApp;
use super::chromium::{Visitor, WIDTHS, named};
use super::{HENPIN, REFUND};

#[tokio::test]
async fn dropped_files_become_ready_and_a_broken_one_says_why_not() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        let folder = tempfile::tempdir().unwrap();
        let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode(
        "<html><head><meta charset=\"Shift_JIS\"><title>返品規約</title></head><body><p>返品は三十日以内です。</p></body></html>",
    );
        let files: [(&str, &[u8]); 3] = [
            ("returns.md", b"# Returns\n\nGoods can be returned."),
            ("規約.html", &sjis),
            ("broken.pdf", b"%PDF-1.4 broken"),
        ];
        let paths = files.map(|(name, bytes)| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_string_lossy().into_owned()
        });
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.see(&named("none")).await;
                page.enter("file-input", &paths.join("\n")).await;
                page.until("document.querySelectorAll('[data-testid=document][data-status=ready]').length === 2").await;
                page.see("[data-testid=document][data-status=failed]").await;
                assert_eq!(page.text("upload-summary").await, "2 of 3 ready · 1 failed");
                assert!(page.text("document-error").await.contains("PDF is damaged"));
                page.see_text("documents", "返品規約").await;
                page.enter("search-box", "三十日\n").await;
                page.until("document.querySelector('[data-testid=hit] mark')?.textContent.includes('三十')").await;
                page.press("search-clear").await;
                page.count(&named("document"), 3).await;
                page.press("document-retry").await;
                page.see("[data-testid=document][data-status=failed]").await;
            })
            .await;
    }
}

#[tokio::test]
async fn files_dropped_anywhere_and_whole_folders_are_added() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        for name in ["one.md", "inner/two.md", ".hidden"] {
            std::fs::write(folder.path().join(name), format!("# {name}\n\nIt is {name}.")).unwrap();
        }
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.see(&named("none")).await;
                page.enter("upload-collection", "dropped").await;
                page.run(
                    "const transfer = new DataTransfer();
                 for (const name of ['a.txt', 'b.txt']) transfer.items.add(new File([`text of ${name}`], name));
                 for (const type of ['dragenter', 'dragover', 'drop'])
                   document.body.dispatchEvent(
                       new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }),
                     );",
                )
                .await;
                page.count("[data-testid=document][data-status=ready]", 2).await;
                page.enter("folder-input", &folder.path().to_string_lossy()).await;
                page.count("[data-testid=document][data-status=ready]", 4).await;
            })
            .await;
        let documents = app.get("/api/documents?collection=dropped").await.json();
        assert_eq!(documents["total"], 4, "hidden files are left out, and the collection is as chosen: {documents}");
    }
}

/// The list follows the server's events; it never asks by the clock.
#[tokio::test]
async fn what_happens_elsewhere_is_seen_at_once() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        app.add("First", REFUND).await;
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.count(&named("document"), 1).await;
                let id = app.add("Second", HENPIN).await;
                page.count("[data-testid=document][data-status=ready]", 2).await;
                page.until("document.querySelector('[data-testid=document]').innerText.includes('Second')").await;
                app.delete(&format!("/api/documents/{id}")).await;
                page.count(&named("document"), 1).await;
                assert_eq!(page.text("documents-total").await, "1 document");
            })
            .await;
    }
}

#[tokio::test]
async fn documents_are_chosen_by_name_state_and_collection() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        for (title, collection) in [("Price list 2024", "shop"), ("Price list 2025", "shop"), ("Minutes", "town")] {
            let document = json!({"title": title, "text": format!("{title}: {REFUND}"), "collection": collection});
            app.post("/api/documents?wait=true", &document).await;
        }
        app.upload(&[("broken.pdf", b"%PDF-1.4 broken")]).await;
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.count(&named("document"), 4).await;
                page.enter("filter-name", "PRICE 2025").await;
                page.count(&named("document"), 1).await;
                page.until("location.hash.includes('name=PRICE')").await;
                page.run(
                    "const name = document.querySelector('[data-testid=filter-name]');
                 name.value = '';
                 name.dispatchEvent(new Event('input'));",
                )
                .await;
                page.count(&named("document"), 4).await;
                page.see("[data-testid=filter-collection] option[value=town]").await;
                page.choose("filter-collection", "shop").await;
                page.count(&named("document"), 2).await;
                page.choose("filter-collection", "").await;
                page.choose("filter-status", "failed").await;
                page.count(&named("document"), 1).await;
                page.see_text("documents", "broken.pdf").await;
                page.choose("filter-status", "queued").await;
                page.see_text("none", "No document matches").await;
            })
            .await;
    }
}

#[tokio::test]
async fn a_document_is_renamed_moved_and_summarised() {
    for width in WIDTHS {
        let app = TestApp::start().await;
        // A character that breaks off at the end.
        let damaged = [REFUND.as_bytes(), HENPIN.as_bytes(), b"\xe6\xb0".as_slice()].concat();
        app.upload(&[("returns.txt", &damaged)]).await;
        Visitor { width, ..Visitor::default() }
            .visit(&format!("{}/#/documents", app.url), async |page| {
                page.see_text("document-warnings", "1 warning").await;
                page.press("document-open").await;
                page.see_text("viewer-text", "Goods can be returned").await;
                page.press("summarise").await;
                page.see_text("viewer-summary", "Goods can be returned").await;
                page.press("viewer-edit").await;
                page.see(&named("edit-title")).await.clear().await.unwrap();
                page.enter("edit-title", "Returns of goods").await;
                page.see(&named("edit-collection")).await.clear().await.unwrap();
                page.enter("edit-collection", "shop\n").await;
                page.until("!document.querySelector('[data-testid=edit-dialog]')").await;
                page.see_text("viewer", "Returns of goods").await;
                page.press("viewer-close").await;
                page.see_text("documents", "Returns of goods").await;
                page.see_text("document-summary", "Goods can be returned").await;
                page.see_text("documents", "shop").await;
            })
            .await;
        let document = app.get("/api/documents").await.json()["documents"][0].clone();
        assert_eq!((&document["title"], &document["collection"]), (&json!("Returns of goods"), &json!("shop")));
    }
}
