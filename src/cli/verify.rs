//! `dokkai verify`.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::session::Session;
use super::{CliError, json_flag, server_flag, start_logs};
use crate::config::Config;

pub(super) fn command() -> Command {
    Command::new("verify")
        .about("Check store and index against each other, document by document")
        .arg(Arg::new("repair").long("repair").action(ArgAction::SetTrue).help("Mend what can be mended, check again"))
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let session = Session::open(matches, config).await?;
    let body = json!({"repair": matches.get_flag("repair")});
    let report: Result<Value, CliError> = session.client.post("/api/verify", &body).await;
    session.close().await;
    let report = report?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?);
    } else {
        show(&report);
    }
    if report["ok"] == true { Ok(()) } else { Err(CliError::Partial) }
}

fn show(report: &Value) {
    println!(
        "{} documents, {} passages; index at change {} of {}, {} documents on their way into it",
        report["documents"], report["passages"], report["applied"], report["last_change"], report["pending"]
    );
    for (field, word) in [("repaired", "was wrong"), ("findings", "wrong")] {
        for finding in report[field].as_array().into_iter().flatten() {
            let text = |field: &str| finding[field].as_str().unwrap_or("-");
            println!("{word}: {} {}: {}", text("kind"), text("document_id"), text("detail"));
        }
    }
    if report["ok"] == true {
        println!("nothing is wrong");
    }
}
