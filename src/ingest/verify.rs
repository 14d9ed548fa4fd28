//! Checks the store and the index against each other, document by document, and mends what can be mended from what is
//! whole: the index from the store, texts from the originals. What the originals themselves lack only a backup has.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::index::{caught_up, indexed};
use super::settle;
use crate::app::App;
use crate::error::Problem;
use crate::model::{DocumentId, DocumentStatus, Passage};
use crate::search::{Holding, Inventory};
use crate::store::{AuditedDocument, StoreError};

/// Documents whose ids are read at once.
const PAGE: u32 = 1_000;

/// What a check found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = VerifyReport)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Documents looked at.
    pub documents: u64,
    /// Passages of theirs that serve.
    pub passages: u64,
    /// Documents that are not compared with the index, since it has not followed their last change yet.
    pub pending: u64,
    /// The last entry of the change log.
    pub last_change: u64,
    /// How far the index has followed it.
    pub applied: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was wrong before it was mended.
    pub repaired: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Where.
    pub document_id: Option<DocumentId>,
    /// What exactly.
    pub detail: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FindingKind)]
pub enum Kind {
    /// The database's own check of its file.
    Database,
    /// The index has followed further than the log goes.
    IndexAhead,
    /// The index lacks a document that has text.
    NotIndexed,
    /// The index holds other passages of a document than the store.
    IndexDiffers,
    /// The index holds a document that the store does not have, or has without text.
    Orphan,
    /// A passage is not what stands in the text at its place, or passages are missing.
    Passages,
    /// A document is `ready` without text.
    NoText,
    /// The original is not complete, or its bytes have another hash.
    Original,
}

/// Checks everything. Reads every byte of the store once.
///
/// # Errors
/// Where the store or the index cannot be read at all.
pub async fn verify(app: &App) -> Result<Report, Problem> {
    let inventory = app.search.inventory().await?;
    let mut report = Report {
        ok: false,
        documents: 0,
        passages: 0,
        pending: 0,
        last_change: app.store.last_change().await?,
        applied: inventory.applied,
        findings: Vec::new(),
        repaired: Vec::new(),
    };
    for line in app.store.integrity().await? {
        report.findings.push(Finding { kind: Kind::Database, document_id: None, detail: line });
    }
    if report.applied > app.store.last_change().await? {
        let detail = format!("the index has applied change {} of {}", report.applied, report.last_change);
        report.findings.push(Finding { kind: Kind::IndexAhead, document_id: None, detail });
    }
    let mut seen = BTreeSet::new();
    let mut after = None;
    loop {
        let ids = app.store.document_ids_after(after, PAGE).await?;
        let Some(last) = ids.last().copied() else { break };
        after = Some(last);
        for id in ids {
            seen.insert(id);
            match app.store.audited(id).await {
                Ok(Some(audited)) => check_document(app, &inventory, audited, &mut report).await?,
                // Deleted meanwhile.
                Ok(None) => {}
                Err(error) => report.note(Kind::Database, id, error.to_string()),
            }
        }
    }
    for id in inventory.documents.keys().filter(|id| !seen.contains(id)) {
        if app.store.change_of(*id).await?.is_none_or(|seq| seq <= inventory.applied) {
            report.note(Kind::Orphan, *id, "the index holds a document that is not in the store".to_owned());
        }
    }
    report.findings.sort();
    report.ok = report.findings.is_empty();
    Ok(report)
}

/// Checks, mends what can be mended, and checks again.
///
/// # Errors
/// As [`verify`]; also where the store cannot be written.
pub async fn repair(app: &App) -> Result<Report, Problem> {
    let found = verify(app).await?;
    if found.ok {
        return Ok(found);
    }
    let (mut again, mut anew) = (BTreeSet::new(), BTreeSet::new());
    for finding in &found.findings {
        match (finding.kind, finding.document_id) {
            (Kind::NotIndexed | Kind::IndexDiffers | Kind::Orphan, Some(id)) => _ = again.insert(id),
            (Kind::Passages | Kind::NoText, Some(id)) => _ = anew.insert(id),
            (Kind::IndexAhead, _) => app.search.clear().await?,
            _ => {}
        }
    }
    if found.findings.iter().any(|finding| finding.kind == Kind::Database) {
        // Only its own indexes can be built from the rest; it says so itself where it cannot.
        if let Err(error) = app.store.rebuild_indexes().await {
            tracing::error!(%error, "the database's indexes could not be built anew");
        }
    }
    let lost: BTreeSet<_> = found.findings.iter().filter(|f| f.kind == Kind::Original).map(|f| f.document_id).collect();
    // A text whose original is damaged too is better than none.
    anew.retain(|id| !lost.contains(&Some(*id)));
    for id in &anew {
        if app.store.requeue(*id).await?.is_some() {
            app.signals.documents_changed();
            app.signals.queued.notify_one();
        }
    }
    let again: Vec<DocumentId> = again.into_iter().collect();
    app.store.log_again(&again).await?;
    let anew: Vec<DocumentId> = anew.into_iter().collect();
    settle(app, &anew).await?;
    caught_up(app).await?;
    Ok(Report { repaired: found.findings, ..verify(app).await? })
}

impl Report {
    fn note(&mut self, kind: Kind, id: DocumentId, detail: String) {
        self.findings.push(Finding { kind, document_id: Some(id), detail });
    }
}

async fn check_document(
    app: &App,
    inventory: &Inventory,
    audited: AuditedDocument,
    report: &mut Report,
) -> Result<(), Problem> {
    let document = &audited.document;
    let id = document.id;
    report.documents += 1;
    report.passages += audited.passages.len() as u64;
    match &audited.text {
        Some(text) => {
            let counted = document.status != DocumentStatus::Ready
                || usize::try_from(document.passages).is_ok_and(|passages| passages == audited.passages.len());
            if !counted {
                let (said, has) = (document.passages, audited.passages.len());
                report.note(Kind::Passages, id, format!("it has {has} passages and should have {said}"));
            } else if let Some(wrong) = first_wrong(text, &audited.passages) {
                report.note(Kind::Passages, id, format!("passage {wrong} is not what stands in the text at its place"));
            }
        }
        None if document.status == DocumentStatus::Ready => {
            report.note(Kind::NoText, id, "it is ready and has no text".to_owned());
        }
        None => {}
    }
    if let Some(wrong) = original_wrong(app, &audited).await? {
        // Replaced or deleted meanwhile: another original than the one that was looked at.
        let same = matches!(app.store.original(id).await, Ok(now) if now.content == audited.content);
        if same {
            report.note(Kind::Original, id, wrong);
        }
    }
    if audited.changed_at.is_some_and(|seq| seq > inventory.applied) {
        report.pending += 1;
        return Ok(());
    }
    let should = audited.present.map(|present| Holding::of(&indexed(present))).filter(|holding| holding.passages > 0);
    match (should, inventory.documents.get(&id)) {
        (Some(should), Some(holds)) if should != *holds => {
            let detail = if should.passages == holds.passages {
                "the index holds passages of another content".to_owned()
            } else {
                format!("the index holds {} passages of {}", holds.passages, should.passages)
            };
            report.note(Kind::IndexDiffers, id, detail);
        }
        (Some(_), None) => report.note(Kind::NotIndexed, id, "the index does not hold it".to_owned()),
        (None, Some(_)) => report.note(Kind::Orphan, id, "the index holds it although it has no text".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    Ok(())
}

/// The first passage that is not what stands in the text from its start to its end, or that does not follow.
fn first_wrong(text: &str, passages: &[Passage]) -> Option<usize> {
    // Passages rise, so that one walk over the text finds all of their starts.
    let (mut at_char, mut at_byte) = (0, 0);
    for (place, passage) in passages.iter().enumerate() {
        let follows = usize::try_from(passage.id.ordinal).is_ok_and(|ordinal| ordinal == place);
        if passage.start < at_char {
            (at_char, at_byte) = (0, 0);
        }
        let rest = text.get(at_byte..)?;
        at_byte += rest.char_indices().nth(passage.start - at_char).map_or(rest.len(), |(byte, _)| byte);
        at_char = passage.start;
        let length = passage.end.saturating_sub(passage.start);
        let stands = text.get(at_byte..).is_some_and(|rest| rest.starts_with(&passage.text));
        if !follows || !stands || passage.text.chars().count() != length {
            return Some(place);
        }
    }
    None
}

async fn original_wrong(app: &App, audited: &AuditedDocument) -> Result<Option<String>, Problem> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    for ordinal in 0.. {
        match app.store.part(audited.content, ordinal).await {
            Ok(Some(part)) => {
                bytes += part.len() as u64;
                hash.update(&part);
            }
            Ok(None) => break,
            Err(error @ (StoreError::Corrupt(_) | StoreError::Unavailable(_))) => return Ok(Some(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    let said = audited.document.bytes;
    if bytes != said {
        return Ok(Some(format!("the original has {bytes} bytes of {said}")));
    }
    let hash = hex::encode(hash.finalize());
    Ok((hash != audited.document.sha256).then(|| "the original has another hash than when it was uploaded".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PassageId;

    #[test]
    fn a_passage_must_stand_in_the_text_at_its_place() {
        let document_id = DocumentId::new();
        let passages = |parts: &[(u32, &str, usize, usize)]| -> Vec<Passage> {
            let passage = |&(ordinal, text, start, end): &(u32, &str, usize, usize)| Passage {
                id: PassageId { document_id, ordinal },
                text: text.to_owned(),
                start,
                end,
                page: None,
                heading: None,
            };
            parts.iter().map(passage).collect()
        };
        let check = |parts: &[(u32, &str, usize, usize)], wrong| {
            assert_eq!(first_wrong("一つ。二つ。三つ。", &passages(parts)), wrong, "{parts:?}");
        };
        check(&[(0, "一つ。", 0, 3), (1, "三つ。", 6, 9)], None);
        check(&[(0, "一つ。", 0, 3), (1, "つ。二", 1, 4)], None);
        check(&[(0, "一つ。", 0, 3), (2, "三つ。", 6, 9)], Some(1));
        check(&[(0, "二つ。", 0, 3)], Some(0));
        check(&[(0, "一つ。", 0, 4)], Some(0));
        check(&[(0, "一", 90, 91)], Some(0));
        check(&[], None);
    }
}
