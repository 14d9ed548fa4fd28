//! `dokkai config`.

use clap::{ArgMatches, Command};
use serde_json::json;

use super::{CliError, json_flag};
use crate::config::{Origin, SETTINGS, Values, shown};

pub(super) fn command() -> Command {
    Command::new("config").about("Print the effective settings and where each comes from").arg(json_flag())
}

pub(super) fn run(matches: &ArgMatches, values: &Values) -> Result<(), CliError> {
    let rows = SETTINGS.iter().filter_map(|setting| values.get(setting.name).map(|value| (setting, value)));
    if matches.get_flag("json") {
        let all: Vec<_> = rows
            .map(|(setting, value)| {
                json!({
                    "name": setting.name,
                    "variable": setting.variable(),
                    "value": shown(setting, value),
                    "origin": value.origin,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&all).map_err(std::io::Error::other)?);
        return Ok(());
    }
    for (setting, value) in rows {
        let origin = match value.origin {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        };
        println!("{:<32} {:<40} {origin}", setting.variable(), shown(setting, value));
    }
    Ok(())
}
