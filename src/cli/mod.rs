//! The commands, one file each.

mod bench;
mod simulate;

use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Config, FILE, SETTINGS, Setting, gather};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The server cannot be talked to.
    #[error("{0}")]
    Server(String),
    /// A file cannot be read, or nothing can be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The command did its work, and some of it failed; what, was said already.
    #[error("not everything succeeded")]
    Partial,
}

/// Reads the command line and runs the command.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let config = gather(&matches, Path::new(FILE)).and_then(|values| Config::parse(&values));
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            eprintln!("dokkai: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dokkai: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&matches, &config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dokkai: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(matches: &ArgMatches, config: &Config) -> Result<(), CliError> {
    match matches.subcommand() {
        Some(("simulate", matches)) => simulate::run(matches, config).await,
        Some(("bench", matches)) => bench::run(matches, config).await,
        None | Some(_) => Err(CliError::Server("unknown command".to_owned())),
    }
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("dokkai")
        .version(env!("CARGO_PKG_VERSION"))
        .args(SETTINGS.iter().map(Setting::arg))
        .subcommand(simulate::command())
        .subcommand(bench::command())
}

/// `--json`, for commands with results.
fn json_flag() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print machine-readable results on stdout")
}

/// Logs go to stderr. `quiet` shows only warnings, unless the filter was set on purpose.
fn start_logs(config: &Config, quiet: bool) {
    let filter = if quiet && config.log == "info" { "warn" } else { &config.log };
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
