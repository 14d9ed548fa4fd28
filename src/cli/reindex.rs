//! `dokkai reindex`.

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::session::Session;
use super::{CliError, json_flag, server_flag, start_logs};
use crate::config::Config;

pub(super) fn command() -> Command {
    Command::new("reindex")
        .about("Build the index anew from the store, while the old one serves")
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let session = Session::open(matches, config).await?;
    let done: Result<Value, CliError> = session.client.post("/api/reindex", &json!({})).await;
    session.close().await;
    let done = done?;
    if matches.get_flag("json") {
        println!("{done}");
    } else {
        println!("the new index serves, at change {}", done["applied"]);
    }
    Ok(())
}
