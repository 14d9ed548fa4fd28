//! What the store does for analyses without a question: one a document, shown with it.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{DocumentId, StandingAnalysis};

/// The analyses that documents have of their own.
#[async_trait]
pub trait SummaryStore: Send + Sync {
    /// Keeps a document's analysis in place of an earlier one, unless the document was replaced or deleted meanwhile.
    async fn keep_summary(
        &self,
        analysis: &StandingAnalysis,
        content_hash: &str,
        cache_key: &str,
    ) -> Result<(), StoreError>;

    /// The kept analyses made under these keys, in the order asked.
    async fn summaries(&self, wanted: &[(DocumentId, String)]) -> Result<Vec<Option<StandingAnalysis>>, StoreError>;
}
