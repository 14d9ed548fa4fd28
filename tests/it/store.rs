//! The contract of the store, for every backend.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dokkai::error::{Code, Problem};
use dokkai::model::{
    Analysis, AnalysisReplies, AnalysisStatus, CallRecord, DocumentId, DocumentStatus, Feedback, KeptAnalysis, Passage,
    PassageId, Prompt, QuestionDetail, QuestionId, QuestionRecord, QuestionStatus, Rating,
};
use dokkai::store::{
    Claimed, Content, DocumentFilter, DocumentPatch, ExtractedDocument, FinishedAnalysis, NewDocument, Original, Page,
    QuestionFilter, SqliteStore, Store, StoreError,
};
use time::OffsetDateTime;

use crate::support::records;

async fn sqlite() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Arc::default()).await.unwrap();
    (folder, Arc::new(store))
}

fn new_document(text: &str) -> NewDocument {
    NewDocument {
        title: "notes.txt".into(),
        title_given: false,
        collection: "default".into(),
        metadata: serde_json::from_str(r#"{"year": 2026}"#).unwrap(),
        source: None,
        file_name: Some("notes.txt".into()),
        content: Content {
            original: Original::Whole(Bytes::from(text.to_owned())),
            hash: format!("hash of {text}"),
            media_type: "text/plain".into(),
        },
    }
}

fn extracted(id: DocumentId, texts: &[&str]) -> ExtractedDocument {
    let mut start = 0;
    let passages = texts
        .iter()
        .zip(0..)
        .map(|(text, ordinal)| {
            let end = start + text.chars().count();
            let passage = Passage {
                id: PassageId { document_id: id, ordinal },
                text: (*text).to_owned(),
                start,
                end,
                page: Some(1),
                heading: None,
            };
            start = end;
            passage
        })
        .collect();
    ExtractedDocument {
        title: Some("Found title".into()),
        media_type: "text/markdown".into(),
        language: Some("ja".into()),
        text: texts.concat(),
        passages,
        warnings: vec!["page 2 is unreadable".into()],
    }
}

async fn add(store: &dyn Store, text: &str) -> DocumentId {
    store.add_document(new_document(text)).await.unwrap().document.id
}

async fn claim(store: &dyn Store) -> Claimed {
    store.claim_document().await.unwrap().expect("a queued document")
}

/// Takes the oldest queued document all the way to ready.
async fn make_ready(store: &dyn Store, texts: &[&str]) -> DocumentId {
    let claimed = claim(store).await;
    store.keep_extraction(&claimed, extracted(claimed.document.id, texts)).await.unwrap();
    store.mark_searchable(store.last_change().await.unwrap()).await.unwrap();
    claimed.document.id
}

async fn status(store: &dyn Store, id: DocumentId) -> DocumentStatus {
    store.document(id).await.unwrap().status
}

#[tokio::test]
async fn the_same_bytes_in_the_same_collection_are_one_document() {
    let (_folder, store) = sqlite().await;
    let first = store.add_document(new_document("a")).await.unwrap();
    let again = store.add_document(new_document("a")).await.unwrap();
    let elsewhere = NewDocument { collection: "other".into(), ..new_document("a") };
    let elsewhere = store.add_document(elsewhere).await.unwrap();
    assert!(!first.duplicate && again.duplicate && !elsewhere.duplicate);
    assert_eq!(first.document.id, again.document.id);
    assert_ne!(first.document.id, elsewhere.document.id);
    assert_eq!(first.document.metadata["year"], 2026);
}

#[tokio::test]
async fn the_oldest_queued_document_is_claimed_once() {
    let (_folder, store) = sqlite().await;
    let first = add(&*store, "a").await;
    let second = add(&*store, "b").await;
    assert_eq!(claim(&*store).await.document.id, first);
    assert_eq!(claim(&*store).await.document.id, second);
    assert!(store.claim_document().await.unwrap().is_none());
    assert_eq!(status(&*store, first).await, DocumentStatus::Processing);
}

#[tokio::test]
async fn a_document_is_ready_only_when_the_index_has_its_change() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let claimed = claim(&*store).await;
    store.keep_extraction(&claimed, extracted(id, &["一つ。", "二つ。"])).await.unwrap();
    assert_eq!(status(&*store, id).await, DocumentStatus::Processing);

    let changes = store.changes_after(0, 100).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].present.as_ref().unwrap().passages.len(), 2);
    assert!(store.mark_searchable(changes[0].seq - 1).await.unwrap().is_empty());
    assert_eq!(store.mark_searchable(changes[0].seq).await.unwrap()[0].id, id);

    let document = store.document(id).await.unwrap();
    assert_eq!((document.status, document.passages), (DocumentStatus::Ready, 2));
    assert_eq!((document.title.as_str(), document.language.as_deref()), ("Found title", Some("ja")));
    assert_eq!(store.text(id).await.unwrap().as_deref(), Some("一つ。二つ。"));
    let ranges = [(id, 1..4), (DocumentId::new(), 0..3), (id, 4..99), (id, 9..12)];
    assert_eq!(store.text_ranges(&ranges).await.unwrap(), ["つ。二", "", "つ。", ""]);
    assert_eq!(store.first_passages(&[DocumentId::new(), id], 1).await.unwrap()[0].text, "一つ。");
    let passages = store.passage_range(id, 1..9).await.unwrap();
    assert_eq!((passages[0].text.as_str(), passages[0].start, passages[0].end), ("二つ。", 3, 6));
    assert_eq!(store.passages(&[passages[0].id]).await.unwrap(), passages);
}

#[tokio::test]
async fn released_claims_are_queued_again_unless_only_the_index_is_missing() {
    let (_folder, store) = sqlite().await;
    let extracted_one = add(&*store, "a").await;
    let claimed_one = add(&*store, "b").await;
    let claimed = claim(&*store).await;
    store.keep_extraction(&claimed, extracted(extracted_one, &["x"])).await.unwrap();
    claim(&*store).await;

    assert_eq!(store.release_claims().await.unwrap(), 1);
    assert_eq!(status(&*store, claimed_one).await, DocumentStatus::Queued);
    assert_eq!(status(&*store, extracted_one).await, DocumentStatus::Processing);
    store.mark_searchable(store.last_change().await.unwrap()).await.unwrap();
    assert_eq!(status(&*store, extracted_one).await, DocumentStatus::Ready);
}

#[tokio::test]
async fn a_failure_keeps_its_reason_and_can_be_retried() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let claimed = claim(&*store).await;
    store.fail_document(&claimed, Problem::new(Code::Encrypted, "remove the password")).await.unwrap();
    let document = store.document(id).await.unwrap();
    assert_eq!(document.status, DocumentStatus::Failed);
    assert_eq!(document.error.unwrap().code, Code::Encrypted);

    let retried = store.retry_document(id).await.unwrap();
    assert_eq!((retried.status, retried.error), (DocumentStatus::Queued, None));
    assert!(matches!(store.retry_document(id).await, Err(StoreError::DocumentNotFailed)));
}

#[tokio::test]
async fn a_deleted_document_leaves_only_its_absence_in_the_log() {
    let (_folder, store) = sqlite().await;
    add(&*store, "a").await;
    let id = make_ready(&*store, &["x"]).await;
    let seen = store.last_change().await.unwrap();
    store.delete_document(id).await.unwrap();

    assert!(matches!(store.document(id).await, Err(StoreError::DocumentNotFound)));
    assert!(matches!(store.text(id).await, Err(StoreError::DocumentNotFound)));
    assert!(matches!(store.original(id).await, Err(StoreError::DocumentNotFound)));
    assert!(matches!(store.delete_document(id).await, Err(StoreError::DocumentNotFound)));
    assert!(store.passage_range(id, 0..9).await.unwrap().is_empty());
    assert!(store.known_documents(&[id]).await.unwrap().is_empty());
    let changes = store.changes_after(seen, 100).await.unwrap();
    assert!(changes.len() == 1 && changes[0].present.is_none() && changes[0].document_id == id);
    assert_eq!(store.changes_after(0, 100).await.unwrap().len(), 1, "the earlier change is superseded");
}

#[tokio::test]
async fn work_on_a_replaced_or_deleted_document_is_dropped() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "old").await;
    let claimed = claim(&*store).await;
    store.replace_document(id, new_document("new")).await.unwrap();
    store.keep_extraction(&claimed, extracted(id, &["old text"])).await.unwrap();
    store.fail_document(&claimed, Problem::new(Code::Malformed, "damaged")).await.unwrap();
    assert_eq!(status(&*store, id).await, DocumentStatus::Queued);
    assert_eq!(store.text(id).await.unwrap(), None);

    let claimed = claim(&*store).await;
    assert_eq!(store.part(claimed.content, 0).await.unwrap().unwrap(), "new");
    store.delete_document(id).await.unwrap();
    store.keep_extraction(&claimed, extracted(id, &["new text"])).await.unwrap();
    assert!(matches!(store.document(id).await, Err(StoreError::DocumentNotFound)));
}

#[tokio::test]
async fn a_replaced_document_serves_its_old_text_until_the_new_one_is_extracted() {
    let (_folder, store) = sqlite().await;
    add(&*store, "old").await;
    let id = make_ready(&*store, &["old text"]).await;
    store.replace_document(id, new_document("new")).await.unwrap();
    assert_eq!(store.text(id).await.unwrap().as_deref(), Some("old text"));
    make_ready(&*store, &["new text"]).await;
    assert_eq!(store.text(id).await.unwrap().as_deref(), Some("new text"));

    let other = add(&*store, "other").await;
    assert!(
        matches!(store.replace_document(other, new_document("new")).await, Err(StoreError::Duplicate(of)) if of == id)
    );
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_tells_the_index() {
    let (_folder, store) = sqlite().await;
    add(&*store, "a").await;
    let id = make_ready(&*store, &["x"]).await;
    let seen = store.last_change().await.unwrap();
    let patch = DocumentPatch { title: Some("New".into()), collection: Some("faq".into()), ..DocumentPatch::default() };
    let patched = store.patch_document(id, patch).await.unwrap();
    assert_eq!((patched.title.as_str(), patched.collection.as_str()), ("New", "faq"));
    assert_eq!((patched.metadata["year"].as_i64(), patched.status), (Some(2026), DocumentStatus::Ready));
    let changes = store.changes_after(seen, 100).await.unwrap();
    assert_eq!(changes[0].present.as_ref().unwrap().collection, "faq");

    let metadata = DocumentPatch { metadata: Some(serde_json::Map::new()), ..DocumentPatch::default() };
    let seen = store.last_change().await.unwrap();
    assert!(store.patch_document(id, metadata.clone()).await.unwrap().metadata.is_empty());
    let changes = store.changes_after(seen, 100).await.unwrap();
    let facets = &changes[0].present.as_ref().unwrap().facets;
    assert_eq!(facets.len(), 1, "only the date of its arrival: {facets:?}");
    let seen = store.last_change().await.unwrap();
    store.patch_document(id, metadata).await.unwrap();
    assert_eq!(store.last_change().await.unwrap(), seen, "the same once more is no change");
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_paged_by_id() {
    let (_folder, store) = sqlite().await;
    let mut ids = Vec::new();
    for text in ["a", "b", "c", "d"] {
        ids.push(add(&*store, text).await);
    }
    make_ready(&*store, &["x"]).await;
    let all = DocumentFilter::default();
    let first = store.documents(all.clone(), Page { limit: 3, before: None }).await.unwrap();
    let listed: Vec<_> = first.items.iter().map(|d| d.id).collect();
    assert_eq!((listed.as_slice(), first.total), ([ids[3], ids[2], ids[1]].as_slice(), 4));
    let rest = store.documents(all, Page { limit: 3, before: Some(ids[1]) }).await.unwrap();
    assert_eq!(rest.items.iter().map(|d| d.id).collect::<Vec<_>>(), [ids[0]]);
    let ready = DocumentFilter { status: Some(DocumentStatus::Ready), ..DocumentFilter::default() };
    assert_eq!(store.documents(ready, Page { limit: 9, before: None }).await.unwrap().total, 1);
    let none = DocumentFilter { collection: Some("none".into()), ..DocumentFilter::default() };
    assert_eq!(store.documents(none, Page { limit: 9, before: None }).await.unwrap().total, 0);
}

#[tokio::test]
async fn the_change_log_comes_in_batches_of_about_as_many_passages_as_asked() {
    let (_folder, store) = sqlite().await;
    for text in ["a", "b", "c"] {
        add(&*store, text).await;
        make_ready(&*store, &["x", "y", "z"]).await;
    }
    let first = store.changes_after(0, 4).await.unwrap();
    assert_eq!(first.len(), 2);
    let rest = store.changes_after(first[1].seq, 4).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert!(store.changes_after(rest[0].seq, 4).await.unwrap().is_empty());
}

fn analysis(document_id: DocumentId) -> Analysis {
    Analysis { relevance_score: 0.9, summary: "要約".into(), ..records::analysis(document_id, AnalysisStatus::Ok) }
}

fn kept(document_id: DocumentId) -> KeptAnalysis {
    KeptAnalysis { analysis: analysis(document_id), replies: vec!["{}".into()] }
}

fn finished(rank: u32, id: DocumentId, cache_key: Option<&str>) -> FinishedAnalysis {
    FinishedAnalysis { rank, made: kept(id), cache_key: cache_key.map(str::to_owned) }
}

/// Any number of questions.
const ALL: Page<QuestionId> = Page { limit: 50, before: None };

#[tokio::test]
async fn a_question_shows_its_analyses_while_it_runs_and_its_record_afterwards() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let mut record = records::question("質問は？");
    store.add_question(&record).await.unwrap();
    let two = [finished(1, id, None), finished(0, id, Some("5e7"))];
    store.keep_analyses(record.id, &two).await.unwrap();
    assert_eq!(store.unfinished_questions().await.unwrap(), [(record.id, vec![kept(id), kept(id)])]);
    let running = store.question(record.id).await.unwrap();
    assert_eq!((running.status, running.analyses.len()), (QuestionStatus::Running, 2));

    record.status = QuestionStatus::Complete;
    record.answer = "答え [1]".into();
    record.analyses = vec![analysis(id)];
    assert_eq!(store.question_detail(record.id).await.unwrap(), None);
    store.finish_question(&record, &QuestionDetail::default()).await.unwrap();
    assert_eq!(store.question(record.id).await.unwrap(), record);
    assert!(store.unfinished_questions().await.unwrap().is_empty());
    let listed: QuestionRecord = store.questions(QuestionFilter::default(), ALL).await.unwrap().items.remove(0);
    assert_eq!(listed, record);

    store.delete_question(record.id).await.unwrap();
    assert!(matches!(store.question(record.id).await, Err(StoreError::QuestionNotFound)));
    assert!(matches!(store.delete_question(QuestionId::new()).await, Err(StoreError::QuestionNotFound)));
}

#[tokio::test]
async fn a_finished_question_keeps_what_it_was_made_of_and_what_its_reader_said() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let prompt = Prompt { purpose: "analysis".into(), version: "v1".into(), text: "read".into() };
    store.keep_prompts(std::slice::from_ref(&prompt)).await.unwrap();
    store.keep_prompts(std::slice::from_ref(&prompt)).await.unwrap();
    let mut record = records::question("q");
    record.settings.prompts.insert("analysis".into(), "v1".into());
    store.add_question(&record).await.unwrap();
    record.status = QuestionStatus::Complete;
    let replies = vec![AnalysisReplies { document_id: id, replies: vec!["said".into()] }];
    let detail = QuestionDetail { analyses: replies, ..QuestionDetail::default() };
    store.finish_question(&record, &detail).await.unwrap();
    let shown = QuestionDetail { prompts: vec![prompt], ..detail };
    assert_eq!(store.question_detail(record.id).await.unwrap(), Some(shown));

    let feedback = Feedback { rating: Rating::Bad, note: Some("誤り".into()), given_at: OffsetDateTime::UNIX_EPOCH };
    store.keep_feedback(record.id, &feedback).await.unwrap();
    assert_eq!(store.question(record.id).await.unwrap().feedback, Some(feedback.clone()));
    assert_eq!(
        store.questions(QuestionFilter::default(), ALL).await.unwrap().items[0].feedback,
        Some(feedback.clone())
    );
    let nowhere = store.keep_feedback(QuestionId::new(), &feedback).await;
    assert!(matches!(nowhere, Err(StoreError::QuestionNotFound)));
}

#[tokio::test]
async fn a_question_that_is_taken_up_again_runs_with_the_analyses_that_its_record_holds() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let mut record = records::question("q");
    store.add_question(&record).await.unwrap();
    store
        .finish_question(
            &QuestionRecord { status: QuestionStatus::Failed, ..record.clone() },
            &QuestionDetail::default(),
        )
        .await
        .unwrap();
    record.analyses = vec![analysis(id)];
    store.reopen_question(&record).await.unwrap();
    assert_eq!(store.question(record.id).await.unwrap(), record);
    assert_eq!(store.unfinished_questions().await.unwrap().len(), 1);
    let gone = store.reopen_question(&records::question("q")).await;
    assert!(matches!(gone, Err(StoreError::QuestionNotFound)));
}

#[tokio::test]
async fn a_question_that_is_taken_up_again_begins_without_what_its_record_does_not_hold() {
    let (_folder, store) = sqlite().await;
    let (first, second) = (add(&*store, "a").await, add(&*store, "b").await);
    let mut record = records::question("q");
    store.add_question(&record).await.unwrap();
    store.keep_analyses(record.id, &[finished(0, first, None), finished(1, second, None)]).await.unwrap();
    record.analyses = vec![analysis(first), analysis(second)];
    let failed = QuestionRecord { status: QuestionStatus::Failed, ..record.clone() };
    store.finish_question(&failed, &QuestionDetail::default()).await.unwrap();
    record.analyses.pop();
    store.reopen_question(&record).await.unwrap();
    assert_eq!(store.question(record.id).await.unwrap().analyses, [analysis(first)]);
    store.keep_analyses(record.id, &[finished(1, second, None)]).await.unwrap();
    assert_eq!(store.question(record.id).await.unwrap().analyses, [analysis(first), analysis(second)]);
}

#[tokio::test]
async fn finished_questions_leave_no_rows_of_analyses_behind() {
    let (folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("dokkai.sqlite"));
    let mut database = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let mut rows = async || -> Vec<uuid::Uuid> {
        sqlx::query_scalar("SELECT question_id FROM question_analyses").fetch_all(&mut database).await.unwrap()
    };
    let finish = async |text: &str| {
        let mut record = records::question(text);
        store.add_question(&record).await.unwrap();
        store.keep_analyses(record.id, &[finished(0, id, None)]).await.unwrap();
        record.status = QuestionStatus::Complete;
        record.analyses = vec![analysis(id)];
        store.finish_question(&record, &QuestionDetail::default()).await.unwrap();
        record.id.0
    };
    finish("one").await;
    let second = finish("two").await;
    assert_eq!(rows().await, [second], "the first one's went with the second's write");
    let running = records::question("three");
    store.add_question(&running).await.unwrap();
    let _reopened = SqliteStore::open(folder.path(), Arc::default()).await.unwrap();
    assert!(rows().await.is_empty());
}

#[tokio::test]
async fn questions_are_listed_by_conversation() {
    let (_folder, store) = sqlite().await;
    for name in [Some("a"), Some("b"), None, Some("a")] {
        let conversation_id = name.map(str::to_owned);
        store.add_question(&QuestionRecord { conversation_id, ..records::question("q") }).await.unwrap();
    }
    let filter = QuestionFilter { conversation_id: Some("a".into()), ..QuestionFilter::default() };
    let listed = store.questions(filter, ALL).await.unwrap();
    assert_eq!((listed.items.len(), listed.total), (2, 2));
    assert_eq!(store.questions(QuestionFilter::default(), ALL).await.unwrap().total, 4);
}

#[tokio::test]
async fn a_summary_is_shown_with_its_document_until_the_document_changes() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let hash = claim(&*store).await.document.sha256;
    let summary = records::standing(id);
    store.keep_summary(&summary, "another", "5e7").await.unwrap();
    assert_eq!(store.document(id).await.unwrap().summary, None, "of other content");
    store.keep_summary(&summary, &hash, "5e7").await.unwrap();
    let wanted = [(id, "5e7".to_owned()), (id, "other".to_owned())];
    assert_eq!(store.summaries(&wanted).await.unwrap(), [Some(summary.clone()), None]);
    let document = store.document(id).await.unwrap();
    assert_eq!((document.summary, document.key_points), (Some(summary.summary), summary.key_points));
    store.replace_document(id, new_document("b")).await.unwrap();
    assert_eq!(store.document(id).await.unwrap().summary, None);
}

#[tokio::test]
async fn what_is_known_of_a_document_is_never_out_of_date() {
    let (_folder, store) = sqlite().await;
    let known = async |id| {
        let known = store.known_documents(&[id]).await.unwrap();
        known.into_iter().next().map(|one| (one.title, one.collection, one.content_hash))
    };
    let expected = |title: &str, collection: &str, text: &str| {
        Some((title.to_owned(), collection.to_owned(), format!("hash of {text}")))
    };
    add(&*store, "a").await;
    let id = make_ready(&*store, &["一つ。"]).await;
    assert_eq!(known(id).await, expected("Found title", "default", "a"));
    let patch = DocumentPatch { title: Some("New".into()), collection: Some("faq".into()), ..DocumentPatch::default() };
    store.patch_document(id, patch).await.unwrap();
    assert_eq!(known(id).await, expected("New", "faq", "a"));
    // A replacement serves once the index has it.
    store.replace_document(id, NewDocument { collection: "faq".into(), ..new_document("b") }).await.unwrap();
    assert_eq!(known(id).await.unwrap().2, "hash of a");
    make_ready(&*store, &["二つ。"]).await;
    assert_eq!(known(id).await.unwrap().2, "hash of b");
    store.delete_document(id).await.unwrap();
    assert_eq!(known(id).await, None);
}

#[tokio::test]
async fn cached_analyses_go_with_their_document() {
    let (_folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let record = records::question("q");
    store.add_question(&record).await.unwrap();
    store.keep_analyses(record.id, &[finished(0, id, Some("5e7"))]).await.unwrap();
    assert_eq!(store.cached_analyses("5e").await.unwrap(), HashMap::from([("5e7".to_owned(), kept(id))]));
    assert_eq!(store.cached_analyses("other").await.unwrap(), HashMap::new());
    store.delete_document(id).await.unwrap();
    assert_eq!(store.cached_analyses("5e7").await.unwrap(), HashMap::new());
    store.keep_analyses(record.id, &[finished(0, id, Some("5e7"))]).await.unwrap();
    assert_eq!(
        store.cached_analyses("5e7").await.unwrap(),
        HashMap::new(),
        "a late analysis of a deleted document stays out"
    );
}

#[tokio::test]
async fn analyses_are_reused_after_reopening() {
    let (folder, store) = sqlite().await;
    let id = add(&*store, "a").await;
    let record = records::question("q");
    store.add_question(&record).await.unwrap();
    let (question_key, other_key) = ("5e".repeat(32), "e5".repeat(32));
    let cache_key = question_key.clone() + &"7a".repeat(32);
    store.keep_analyses(record.id, &[finished(0, id, Some(&cache_key))]).await.unwrap();
    let reopened = SqliteStore::open(folder.path(), Arc::default()).await.unwrap();
    let stores: [&dyn Store; 2] = [&*store, &reopened];
    for store in stores {
        let reused = store.cached_analyses(&question_key).await.unwrap();
        assert_eq!(reused, HashMap::from([(cache_key.clone(), kept(id))]));
        assert_eq!(store.cached_analyses(&other_key).await.unwrap(), HashMap::new());
    }
}

#[tokio::test]
async fn usage_is_summed_by_day_and_model() {
    let (_folder, store) = sqlite().await;
    let call = |model: &str, outcome: &'static str| CallRecord {
        at: OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
        purpose: "analysis",
        model: model.into(),
        prompt_tokens: 100,
        completion_tokens: 10,
        estimated: false,
        cost_usd: 0.5,
        cost_jpy: 0.5,
        latency_ms: 20,
        attempts: 1,
        outcome,
    };
    let calls = [call("a", "ok"), call("a", "upstream_timeout"), call("b", "ok")];
    store.keep_calls(&calls).await.unwrap();
    let usage = store.usage_since(OffsetDateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(usage.len(), 2);
    assert_eq!((usage[0].model.as_str(), usage[0].calls, usage[0].failed), ("a", 2, 1));
    assert_eq!((usage[0].prompt_tokens, usage[0].cost_usd, usage[0].day.as_str()), (200, 1.0, "2026-09-21"));
    let later = OffsetDateTime::from_unix_timestamp(1_790_000_001).unwrap();
    assert!(store.usage_since(later).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store: Box<dyn Store> = Box::new(SqliteStore::open(folder.path(), Arc::default()).await.unwrap());
    let id = add(&*store, "a").await;
    drop(store);
    let store: Box<dyn Store> = Box::new(SqliteStore::open(folder.path(), Arc::default()).await.unwrap());
    assert_eq!(status(&*store, id).await, DocumentStatus::Queued);
    let original = store.original(id).await.unwrap();
    assert_eq!((original.bytes, original.file_name.as_deref()), (1, Some("notes.txt")));
    assert_eq!(store.part(original.content, 0).await.unwrap().unwrap(), "a");
    store.check().await.unwrap();
}
