//! The commands, one file each. Those that work with documents talk to a server: the one that holds the data folder,
//! the one named by `--server`, or one that they start for themselves on loopback for as long as they run.

mod ask;
mod backup;
mod bench;
mod client;
mod config;
mod eval;
mod ingest;
mod reindex;
mod search;
mod serve;
mod session;
mod simulate;
mod sync;
mod verify;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Config, ConfigError, FILE, LogFormat, SETTINGS, Setting, Values, gather};
use crate::server::StartError;

/// Exit status of a command that was used wrongly.
const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server refuses the request.
    #[error("{message} ({code}, HTTP {status})")]
    Refused {
        /// The failure's stable name.
        code: String,
        /// What the server says.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// The server cannot be talked to.
    #[error("{0}")]
    Server(String),
    /// A file cannot be read, or nothing can be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What the command was given cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The command did its work, and some of it failed; what, was said already.
    #[error("not everything succeeded")]
    Partial,
}

/// Reads the command line and runs the command. The exit status is 0 where it is done, 1 where it failed, 2 where it
/// was used wrongly.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let values = match gather(&matches, Path::new(FILE)) {
        Ok(values) => values,
        Err(error) => return fail(&error.into()),
    };
    let config = match Config::parse(&values) {
        Ok(config) => config,
        Err(error) => return fail(&error.into()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(&matches, config, values)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &CliError) -> ExitCode {
    eprintln!("dokkai: {error}");
    if matches!(error, CliError::Config(_) | CliError::Usage(_)) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

async fn run(matches: &ArgMatches, config: Config, values: Values) -> Result<(), CliError> {
    match matches.subcommand() {
        None | Some(("serve", _)) => serve::run(config).await,
        Some(("ingest", matches)) => ingest::run(matches, config).await,
        Some(("search", matches)) => search::run(matches, config).await,
        Some(("ask", matches)) => ask::run(matches, config).await,
        Some(("eval", matches)) => eval::run(matches, config).await,
        Some(("verify", matches)) => verify::run(matches, config).await,
        Some(("reindex", matches)) => reindex::run(matches, config).await,
        Some(("backup", matches)) => backup::run(matches, config).await,
        Some(("config", matches)) => config::run(matches, &values),
        Some(("simulate", matches)) => simulate::run(matches, &config).await,
        Some(("bench", matches)) => bench::run(matches, &config).await,
        Some((other, _)) => Err(CliError::Server(format!("unknown command {other}"))),
    }
}

/// The whole command line: the commands, and every setting as a flag of each.
pub fn command() -> Command {
    Command::new("dokkai")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A document question-answering server: upload documents, ask, get one cited answer")
        .after_help("Without a command, `dokkai` serves the page and the API.")
        .args(SETTINGS.iter().map(Setting::arg))
        .subcommand(serve::command())
        .subcommand(ingest::command())
        .subcommand(search::command())
        .subcommand(ask::command())
        .subcommand(eval::command())
        .subcommand(verify::command())
        .subcommand(reindex::command())
        .subcommand(backup::command())
        .subcommand(config::command())
        .subcommand(simulate::command())
        .subcommand(bench::command())
}

/// `--json`, for commands with results.
fn json_flag() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print machine-readable results on stdout")
}

/// `--server URL`, for commands that talk to a server.
fn server_flag() -> Arg {
    Arg::new("server").long("server").value_name("URL").help("Talk to this server instead of opening the data folder")
}

/// `--collection NAME`.
fn collection_flag(help: &'static str) -> Arg {
    Arg::new("collection").long("collection").value_name("NAME").help(help)
}

/// `--filter JSON`.
fn filter_flag() -> Arg {
    Arg::new("filter")
        .long("filter")
        .value_name("JSON")
        .value_parser(clap::value_parser!(crate::model::filter::Filter))
        .help("Only documents like this, e.g. {\"metadata.year\":{\"gte\":2020}}")
}

/// Logs go to stderr. `quiet` shows only warnings, unless the filter was set on purpose.
fn start_logs(config: &Config, quiet: bool) {
    let filter = if quiet && config.log == "info" { "warn" } else { &config.log };
    // Their lines on every connection would bury ours.
    let filter = format!("{filter},tantivy=warn,actix_server=warn,sqlx=warn,hyper_util=warn");
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second start in one process keeps the first one's logs.
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
