//! Keeps every upstream call for the usage figures, those that end while the server stops included.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
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

/// Adds what comes within a moment, unless somebody waits or the server stops. Looks only at its end: whoever makes calls
/// would otherwise wake this task with each.
async fn gather(
    ledger: &mut mpsc::UnboundedReceiver<LedgerEntry>,
    batch: &mut Vec<LedgerEntry>,
    stop: &CancellationToken,
) {
    if batch.len() < AT_ONCE && !batch.iter().any(|entry| matches!(entry, LedgerEntry::Ask(_))) {
        // Cancelled or over: what has come by then is kept.
        let _ = timeout(GATHER, stop.cancelled()).await;
    }
    while batch.len() < AT_ONCE
        && let Ok(entry) = ledger.try_recv()
    {
        batch.push(entry);
    }
}
