//! `dokkai search`.

use clap::{Arg, ArgMatches, Command};

use super::session::Session;
use super::{CliError, collection_flag, filter_flag, json_flag, server_flag, start_logs};
use crate::answer::Found;
use crate::config::Config;
use crate::model::filter::Filter;
use crate::text::one_line;

pub(super) fn command() -> Command {
    Command::new("search")
        .about("Find documents")
        .arg(Arg::new("query").required(true).value_name("QUERY"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .default_value("10")
                .value_parser(clap::value_parser!(u32).range(1..=100))
                .help("Documents wanted"),
        )
        .arg(collection_flag("Only documents of this collection"))
        .arg(filter_flag())
        .arg(
            Arg::new("mode")
                .long("mode")
                .value_parser(["lexical", "hybrid"])
                .help("How to search; the server's own choice where it is not given"),
        )
        .arg(json_flag())
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let session = Session::open(matches, config).await?;
    let limit = matches.get_one::<u32>("limit").copied().unwrap_or(10).to_string();
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let mut query = vec![("q", text("query")), ("limit", limit.as_str()), ("collection", text("collection"))];
    query.extend(matches.get_one::<String>("mode").map(|mode| ("mode", mode.as_str())));
    let filter = matches.get_one::<Filter>("filter").map(serde_json::to_string).transpose();
    let filter = filter.map_err(std::io::Error::other)?;
    query.extend(filter.as_deref().map(|filter| ("filter", filter)));
    let found = session.client.get::<Found>("/api/search", &query).await;
    session.close().await;
    let found = found?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&found).map_err(std::io::Error::other)?);
        return Ok(());
    }
    for (hit, rank) in found.hits.iter().zip(1..) {
        println!("{rank}. {}  [{:.2}]  {}", hit.title, hit.score, hit.document_id);
        if let Some(heading) = &hit.passage.heading {
            println!("   {heading}");
        }
        let text = one_line(&hit.passage.text);
        let text: String = text.chars().take(200).collect();
        println!("   {text}\n");
    }
    if found.hits.is_empty() {
        println!("nothing found");
    }
    Ok(())
}
