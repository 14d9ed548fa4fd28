//! What a question's calls wait for while they are prepared.

use std::sync::Arc;

use tokio::sync::SetOnce;

/// Holds calls back until what they wait for is done.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<SetOnce<()>>);

impl Gate {
    /// One that holds nothing back.
    pub fn opened() -> Self {
        Self(Arc::new(SetOnce::new_with(Some(()))))
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        // It may be open already.
        let _ = self.0.set(());
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.0.initialized()
    }

    /// Ends when it is open.
    pub async fn passed(&self) {
        self.0.wait().await;
    }
}
