//! Keeps every upstream call for the usage figures, those that end while the server stops included.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::llm::LedgerEntry;

/// Entries of one write at the most.
const AT_ONCE: usize = 200;

/// Calls that end so soon after each other share a write. It also comes after that of the answer which the last of them
/// was for, and does not make it wait.
const GATHER: Duration = Duration::from_millis(20);

pub(super) async fn keep(app: Arc<App>, mut ledger: mpsc::UnboundedReceiver<LedgerEntry>, stop: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            received = ledger.recv_many(&mut batch, AT_ONCE) => if received == 0 { return },
            // The channel stays open while the app lives; when stopping, what is in it is the rest.
            () = stop.cancelled(), if !ledger.is_closed() => {
                ledger.close();
                continue;
            }
        }
        gather(&mut ledger, &mut batch, &stop).await;
        let (mut calls, mut asked) = (Vec::with_capacity(batch.len()), Vec::new());
        for entry in batch.drain(..) {
            match entry {
                LedgerEntry::Call(call) => calls.push(call),
                LedgerEntry::Ask(asker) => asked.push(asker),
            }
        }
        if let Err(error) = app.store.keep_calls(&calls).await {
            tracing::error!(%error, calls = calls.len(), "calls are missing from the usage figures");
        }
        for asker in asked {
            // Nobody waits any more.
            let _ = asker.send(());
        }
    }
}

/// Adds what comes within a moment, unless somebody waits or the server stops.
async fn gather(
    ledger: &mut mpsc::UnboundedReceiver<LedgerEntry>,
    batch: &mut Vec<LedgerEntry>,
    stop: &CancellationToken,
) {
    let end = Instant::now() + GATHER;
    let is_asked = |batch: &[LedgerEntry]| batch.iter().any(|entry| matches!(entry, LedgerEntry::Ask(_)));
    while batch.len() < AT_ONCE && !is_asked(batch) && !stop.is_cancelled() {
        let room = AT_ONCE - batch.len();
        if timeout_at(end, ledger.recv_many(batch, room)).await.is_ok_and(|received| received > 0) {
            continue;
        }
        return;
    }
}
