//! `dokkai serve`.

use clap::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, start_logs};
use crate::config::Config;
use crate::server;

pub(super) fn command() -> Command {
    Command::new("serve").about("Serve the page and the API (the default)")
}

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    config.check_listen()?;
    start_logs(&config, false);
    // Before anything is started: a signal that comes early must not be lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = server::start(config, std::env::current_exe()?).await?;
    greet(&running);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; running questions are finished first");
    // Who asks twice means it.
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

/// Says where to look, on stderr like the logs.
fn greet(running: &server::Running) {
    let address = running.address;
    let config = &running.app.config;
    eprintln!("dokkai {} is ready", env!("CARGO_PKG_VERSION"));
    eprintln!("  page       http://{address}/");
    eprintln!("  API        http://{address}/api/documents, /api/search, /api/questions");
    eprintln!("  documents  {}", config.data_dir.display());
    if config.llm.is_configured() {
        eprintln!(
            "  models     {} analyses, {} answers, at {}",
            config.llm.analysis_models.join(", "),
            config.llm.synthesis_models.join(", "),
            config.llm.base_url
        );
    } else {
        eprintln!("  models     none: answers are made of the documents' own sentences (extractive mode);");
        eprintln!("             set DOKKAI_LLM_API_KEY for written answers");
    }
    if let Some(model) = config.llm.embedding_model.as_ref().filter(|_| config.llm.is_configured()) {
        eprintln!("  retrieval  by words and by {model}");
    }
    tracing::info!(%address, "serving");
}
