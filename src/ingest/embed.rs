//! Passages → vectors, in the background and after their documents are searchable by words.
//!
//! As the index does, the vectors follow the store's change log: a space of vectors remembers how far it has come, so
//! that a crash or a new model costs nothing but the rest. Texts that have a vector already are not embedded again.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::error::Problem;
use crate::llm::{CallFailed, Embed, LlmError, Purpose};
use crate::model::{DocumentId, Passage};
use crate::search::vectors::normalised;
use crate::store::{LoggedChange, PassageText, Space, TextHash, Vector};

/// Texts of one request: what the strictest common servers take.
const BATCH: usize = 32;

/// Requests at once; background work need not be quick, and yields to questions anyway.
const REQUESTS: usize = 4;

/// About how many passages are embedded between two notes of how far it has come.
const STEP_PASSAGES: usize = 512;

/// Vectors read into memory at once.
const PAGE: u32 = 5_000;

/// One request's time, tries and waits included.
const PATIENCE: Duration = Duration::from_secs(300);

/// The rest after a failure; it doubles up to the second with each.
const REST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Keeps vectors up to date until told to stop. Without an embedding model it only reads those that are there away.
pub(super) async fn follow(app: &App, stop: &CancellationToken) {
    let model = app.config.llm.embedding_model.as_deref().filter(|_| app.llm.is_configured());
    let Some(model) = model else { return };
    let mut rest = REST.0;
    while !stop.is_cancelled() {
        let outcome = tokio::select! {
            outcome = bring_up_to_date(app, model) => outcome,
            () = stop.cancelled() => return,
        };
        let waiting = match outcome {
            Ok(()) => {
                rest = REST.0;
                note(app, None);
                app.embedding.up_to_date.store(true, Ordering::Release);
                app.signals.documents_changed();
                None
            }
            Err(problem) => {
                tracing::warn!(code = problem.code.as_str(), "passages cannot be embedded now; searching by words");
                note(app, Some(problem));
                let now = rest;
                rest = (rest * 2).min(REST.1);
                Some(now)
            }
        };
        tokio::select! {
            () = app.signals.indexed.notified(), if waiting.is_none() => {}
            () = tokio::time::sleep(waiting.unwrap_or_default()), if waiting.is_some() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Embeds everything that the index has and the vectors have not, then lets the space serve.
///
/// # Errors
/// Where the store or the upstream cannot be used; what was done until then is kept.
async fn bring_up_to_date(app: &App, model: &str) -> Result<(), Problem> {
    let mut space = app.store.open_space(model, &app.config.embedding_input.name()).await?;
    if app.vectors.space().is_none() {
        // Vectors of an earlier model serve until the new one's are complete; without any, these serve as they come.
        let serving = app.store.serving_space().await?;
        load(app, serving.as_ref().unwrap_or(&space)).await?;
    }
    loop {
        let indexed = app.signals.searchable.load(Ordering::Acquire);
        let mut changes = app.store.changes_after(space.followed, STEP_PASSAGES).await?;
        changes.retain(|change| change.seq <= indexed);
        let Some(last) = changes.last().map(|change| change.seq) else { break };
        app.embedding.up_to_date.store(false, Ordering::Release);
        step(app, &mut space, &changes).await?;
        // The vectors' length may have changed, and then everything is to be done again.
        if space.followed != 0 || last == 0 {
            space.followed = last;
        }
        space = app.store.open_space(model, &space.input).await?;
        metrics::gauge!("dokkai_embedding_changes_left").set(app.store.changes_to_follow(space.id).await? as f64);
        metrics::gauge!("dokkai_vectors").set(app.vectors.len() as f64);
    }
    app.embedding.followed.store(space.followed, Ordering::Release);
    if !space.serving {
        app.store.serve_space(space.id).await?;
        if app.vectors.space() != Some(space.id) {
            load(app, &space).await?;
        }
    }
    app.store.sweep_vectors().await?;
    Ok(())
}

/// Embeds the passages of some changed documents and notes that the space has come so far.
async fn step(app: &App, space: &mut Space, changes: &[LoggedChange]) -> Result<(), Problem> {
    let mut texts: HashMap<TextHash, String> = HashMap::new();
    let mut documents = Vec::with_capacity(changes.len());
    for change in changes {
        let Some(present) = &change.present else { continue };
        let mut passages = Vec::with_capacity(present.passages.len());
        for passage in &present.passages {
            let text = text_of(&present.title, passage);
            let hash = hash(&text);
            passages.push(PassageText { passage_id: passage.id, hash });
            texts.insert(hash, text);
        }
        documents.push((change.seq, passages));
    }
    let mut wanted: Vec<TextHash> = texts.keys().copied().collect();
    wanted.sort_unstable();
    let missing = app.store.without_vector(space.id, &wanted).await?;
    let flow = Uuid::new_v4();
    let batches: Vec<Vec<(TextHash, String)>> = missing
        .chunks(BATCH)
        .map(|part| part.iter().filter_map(|hash| Some((*hash, texts.get(hash)?.clone()))).collect())
        .collect();
    let known_to_work = space.dimension.is_some();
    let mut done = stream::iter(batches).map(|batch| embed(app, batch, flow, known_to_work)).buffer_unordered(REQUESTS);
    while let Some(vectors) = done.try_next().await? {
        let dimension = vectors.iter().find_map(|(_, vector)| vector.as_ref().map(Vec::len));
        if let Some(dimension) = dimension.filter(|dimension| space.dimension != Some(*dimension)) {
            if space.dimension.is_some() {
                tracing::warn!(dimension, "the embedding model's vectors have another length now; embedding again");
            }
            app.store.reset_space(space.id, dimension).await?;
            let again = space.dimension.replace(dimension).is_some();
            if app.vectors.space().is_none_or(|served| served == space.id) {
                app.vectors.clear(space.id, dimension);
            }
            if again {
                return Ok(());
            }
        }
        metrics::counter!("dokkai_passages_embedded_total").increment(vectors.len() as u64);
        app.store.keep_vectors(space.id, vectors).await?;
    }
    let last = changes.last().map_or(0, |change| change.seq);
    app.store.follow_changes(space.id, last, documents).await?;
    // What serves is shown as the store has it: also where documents went, or lost the vectors of an earlier model.
    if let Some(served) = app.vectors.space() {
        let ids: Vec<DocumentId> = changes.iter().map(|change| change.document_id).collect();
        let vectors = app.store.document_vectors(served, &ids).await?;
        app.vectors.replace(served, &ids, &vectors);
    }
    Ok(())
}

/// Vectors of some texts. A text that the upstream refuses by itself gets none.
async fn embed(
    app: &App,
    batch: Vec<(TextHash, String)>,
    flow: Uuid,
    known_to_work: bool,
) -> Result<Vec<(TextHash, Vector)>, Problem> {
    match call(app, batch.iter().map(|(_, text)| text.as_str()), flow).await {
        Ok(vectors) => Ok(batch.iter().zip(vectors).map(|((hash, _), vector)| (*hash, Some(vector))).collect()),
        Err(failed) if refuses_text(&failed.error) && (batch.len() > 1 || known_to_work) => {
            let mut vectors = Vec::with_capacity(batch.len());
            for (hash, text) in &batch {
                match call(app, std::iter::once(text.as_str()), flow).await {
                    Ok(mut one) => vectors.push((*hash, one.pop())),
                    Err(failed) if refuses_text(&failed.error) && (known_to_work || !vectors.is_empty()) => {
                        metrics::counter!("dokkai_passages_refused_total").increment(1);
                        vectors.push((*hash, None));
                    }
                    Err(failed) => return Err(failed.error.into()),
                }
            }
            Ok(vectors)
        }
        Err(failed) => Err(failed.error.into()),
    }
}

async fn call(app: &App, texts: impl Iterator<Item = &str>, flow: Uuid) -> Result<Vec<Vec<f32>>, CallFailed> {
    let input = &app.config.embedding_input;
    let (texts, input_types): (Vec<_>, Vec<_>) = texts.map(|text| input.apply(text, false)).unzip();
    let embed = Embed {
        purpose: Purpose::Embedding,
        model: app.config.llm.embedding_model.clone().unwrap_or_default(),
        texts,
        input_type: input_types.first().copied().flatten(),
        deadline: Instant::now() + PATIENCE,
        flow,
    };
    let embedded = app.llm.embed(embed).await?;
    Ok(embedded.vectors.into_iter().map(normalised).collect())
}

/// Whether the failure is about the text, such as its length, rather than about the upstream.
fn refuses_text(error: &LlmError) -> bool {
    matches!(error, LlmError::TooLong | LlmError::Rejected { status: 400 | 413 | 422 })
}

/// Reads a space's vectors into memory.
async fn load(app: &App, space: &Space) -> Result<(), Problem> {
    let Some(dimension) = space.dimension else { return Ok(()) };
    app.vectors.clear(space.id, dimension);
    let mut after = None;
    loop {
        let page = app.store.vectors_after(space.id, after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        app.vectors.add(space.id, &page);
    }
    tracing::info!(model = space.model, vectors = app.vectors.len(), "vectors are in memory");
    Ok(())
}

/// What is embedded for a passage: it, below its title and headings, each where the passage does not begin with it.
fn text_of(title: &str, passage: &Passage) -> String {
    let heading = passage.heading.as_deref().unwrap_or_default();
    let mut text = String::new();
    if !title.is_empty() && !passage.text.starts_with(title) && !heading.starts_with(title) {
        text.push_str(title);
        text.push('\n');
    }
    if !heading.is_empty() && !passage.text.starts_with(heading) {
        text.push_str(heading);
        text.push('\n');
    }
    text.push_str(&passage.text);
    text
}

fn hash(text: &str) -> TextHash {
    let mut hash = TextHash::default();
    hash.iter_mut().zip(Sha256::digest(text)).for_each(|(byte, digest)| *byte = digest);
    hash
}

fn note(app: &App, problem: Option<Problem>) {
    *app.embedding.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PassageId;

    #[test]
    fn a_passage_is_embedded_below_what_it_does_not_say_itself() {
        let check = |title: &str, heading: Option<&str>, text: &str, expected: &str| {
            let passage = Passage {
                id: PassageId { document_id: DocumentId(Uuid::nil()), ordinal: 0 },
                text: text.to_owned(),
                start: 0,
                end: 0,
                page: None,
                heading: heading.map(str::to_owned),
            };
            assert_eq!(text_of(title, &passage), expected);
        };
        check("料金", None, "期限は20日です。", "料金\n期限は20日です。");
        check("料金", None, "料金は20日までです。", "料金は20日までです。");
        check("Guide", Some("Guide › Pay"), "Until the 20th.", "Guide › Pay\nUntil the 20th.");
        check("Guide", Some("Pay"), "Pay until the 20th.", "Guide\nPay until the 20th.");
        check("", None, "x", "x");
    }
}
