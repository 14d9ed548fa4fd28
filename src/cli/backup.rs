//! `dokkai backup`.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::session::Session;
use super::{CliError, json_flag, server_flag, start_logs};
use crate::config::Config;

pub(super) fn command() -> Command {
    Command::new("backup")
        .about("Copy everything into one file, also while the server runs; see the README for the way back")
        .arg(Arg::new("file").required(true).value_name("FILE").value_parser(clap::value_parser!(PathBuf)))
        .arg(Arg::new("force").long("force").action(ArgAction::SetTrue).help("Overwrite an existing file"))
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let Some(file) = matches.get_one::<PathBuf>("file") else { return Err(CliError::Partial) };
    let exists = || CliError::Server(format!("{} exists; choose another name, or --force", file.display()));
    let force = matches.get_flag("force");
    if !force && file.exists() {
        return Err(exists());
    }
    let session = Session::open(matches, config).await?;
    let written = write(&session, file, force).await;
    session.close().await;
    let Some(bytes) = written? else { return Err(exists()) };
    if matches.get_flag("json") {
        println!("{}", serde_json::json!({"file": file, "bytes": bytes}));
    } else {
        println!("{} holds everything, in {bytes} bytes", file.display());
    }
    Ok(())
}

/// Writes beside the file and lets it appear under its name as a whole. `None` where another one appeared meanwhile.
async fn write(session: &Session, file: &Path, force: bool) -> Result<Option<u64>, CliError> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new(".")).to_owned();
    let beside = tempfile::NamedTempFile::new_in(&folder)?;
    let mut writing = tokio::fs::File::from_std(beside.reopen()?);
    let bytes = session.client.download("/api/backup", &mut writing).await?;
    writing.sync_all().await?;
    let named = if force {
        beside.persist(file).map(drop)
    } else {
        match beside.persist_noclobber(file) {
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
            named => named.map(drop),
        }
    };
    named.map_err(|error| CliError::Io(error.error))?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(Some(bytes))
}
