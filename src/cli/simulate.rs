//! `dokkai simulate`: the stand-in upstream, on loopback alone.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{CliError, start_logs};
use crate::config::Config;
use crate::simulate::faults::Fault;
use crate::simulate::{Options, Simulator};

pub(crate) fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(u64).range(0..=3_600_000))
            .help(help)
    };
    let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    Command::new("simulate")
        .about("Run a stand-in for the upstream on loopback, for load tests and demonstrations")
        .after_help(format!("Faults: {}", names.join(", ")))
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("PORT")
                .default_value("8089")
                .value_parser(value_parser!(u16))
                .help("Port of 127.0.0.1; 0 picks a free one"),
        )
        .arg(number("latency-ms", "45", "Milliseconds before a reply or the first token"))
        .arg(number("jitter-ms", "0", "The latency varies by so many milliseconds up or down"))
        .arg(number("token-ms", "2", "Milliseconds between two tokens of a stream"))
        .arg(
            Arg::new("rpm")
                .long("rpm")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("Requests a minute; more get 429 with Retry-After"),
        )
        .arg(
            Arg::new("fault")
                .long("fault")
                .value_name("NAME=RATE")
                .action(ArgAction::Append)
                .value_parser(fault)
                .help("How often a fault strikes, 0 to 1, such as 500=0.02; all=0.1 shares it among all kinds"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .default_value("1")
                .value_parser(value_parser!(u64))
                .help("The same seed strikes the same requests"),
        )
}

pub(crate) async fn run(matches: &ArgMatches, config: &Config) -> Result<(), CliError> {
    start_logs(config, false);
    let milliseconds = |name: &str| Duration::from_millis(matches.get_one(name).copied().unwrap_or_default());
    let options = Options {
        latency: milliseconds("latency-ms"),
        jitter: milliseconds("jitter-ms"),
        token_pause: milliseconds("token-ms"),
        rpm: matches.get_one("rpm").copied(),
        faults: matches.get_many::<Vec<(Fault, f64)>>("fault").into_iter().flatten().flatten().copied().collect(),
        seed: matches.get_one("seed").copied().unwrap_or_default(),
    };
    let port = matches.get_one("port").copied().unwrap_or_default();
    let simulator = Simulator::start(port, options).await?;
    println!("{}", simulator.url());
    eprintln!("simulating an upstream; use it with DOKKAI_LLM_BASE_URL={}; Ctrl-C stops it", simulator.url());
    stopped().await?;
    let counts = simulator.counts();
    eprintln!(
        "{} connections, {} requests, at most {} at a time",
        counts.connections(),
        counts.requests(),
        counts.most_in_flight()
    );
    Ok(())
}

async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

fn fault(text: &str) -> Result<Vec<(Fault, f64)>, String> {
    let (name, rate) = text.split_once('=').ok_or("must be NAME=RATE, such as 500=0.02")?;
    let rate: f64 = rate.parse().map_err(|_| "the rate must be a number from 0 to 1".to_owned())?;
    if !(0.0..=1.0).contains(&rate) {
        return Err("the rate must be a number from 0 to 1".to_owned());
    }
    if name == "all" {
        let count = u32::try_from(Fault::ALL.len()).unwrap_or(u32::MAX);
        return Ok(Fault::ALL.iter().map(|fault| (*fault, rate / f64::from(count))).collect());
    }
    let fault = name.parse::<Fault>().map_err(|error| error.to_string())?;
    Ok(vec![(fault, rate)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_with_their_rates() {
        assert_eq!(fault("hang=0.5").unwrap(), [(Fault::Hang, 0.5)]);
        let all = fault("all=0.1").unwrap();
        assert_eq!(all.len(), Fault::ALL.len());
        assert!((all.iter().map(|(_, rate)| rate).sum::<f64>() - 0.1).abs() < 1e-9);
        for wrong in ["hang", "hang=2", "hang=x", "nonsense=0.1", "hang=NaN"] {
            assert!(fault(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
