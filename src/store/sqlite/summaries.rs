//! Analyses without a question in SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

use super::{SqliteStore, from_json, now_ms, to_json};
use crate::model::{DocumentId, StandingAnalysis};
use crate::store::{StoreError, SummaryStore};

#[async_trait]
impl SummaryStore for SqliteStore {
    async fn keep_summary(
        &self,
        analysis: &StandingAnalysis,
        content_hash: &str,
        cache_key: &str,
    ) -> Result<(), StoreError> {
        let (id, json) = (analysis.document_id, to_json(analysis)?);
        let (content_hash, cache_key) = (content_hash.to_owned(), cache_key.to_owned());
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT OR REPLACE INTO document_summaries (document_id, cache_key, summary, created_at) \
                         SELECT id, ?, ?, ? FROM documents WHERE id = ? AND content_hash = ?",
                    )
                    .bind(cache_key)
                    .bind(json)
                    .bind(now_ms())
                    .bind(id.0)
                    .bind(content_hash)
                    .execute(tx)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn summaries(&self, wanted: &[(DocumentId, String)]) -> Result<Vec<Option<StandingAnalysis>>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT document_id, cache_key, summary FROM document_summaries WHERE document_id IN (",
        );
        let mut list = query.separated(", ");
        for (id, _) in wanted {
            list.push_bind(id.0);
        }
        query.push(")");
        let rows: Vec<(Uuid, String, String)> = query.build_query_as().fetch_all(&self.readers).await?;
        let found: HashMap<(Uuid, String), String> =
            rows.into_iter().map(|(id, key, summary)| ((id, key), summary)).collect();
        let find = |(id, key): &(DocumentId, String)| found.get(&(id.0, key.clone()));
        wanted.iter().map(|wanted| find(wanted).map(|json| from_json(json)).transpose()).collect()
    }
}
