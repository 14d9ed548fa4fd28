//! What a question's calls, and what is told of it, wait for.

use std::sync::Arc;

use tokio::sync::SetOnce;

/// Holds back until what is waited for is done, or has failed.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<SetOnce<bool>>);

impl Gate {
    /// One that holds nothing back.
    pub fn opened() -> Self {
        Self(Arc::new(SetOnce::new_with(Some(true))))
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        // It may be open already.
        let _ = self.0.set(true);
    }

    /// Lets nothing pass any more: what it waits for has failed.
    pub fn shut(&self) {
        let _ = self.0.set(false);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.0.get().is_some_and(|open| *open)
    }

    /// Ends when it is open, or shut; whether it is open.
    pub async fn passed(&self) -> bool {
        *self.0.wait().await
    }
}
