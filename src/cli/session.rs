//! The server that a command talks to: one that runs already, or one of its own for as long as it runs.

use std::path::PathBuf;

use clap::ArgMatches;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

use super::CliError;
use super::client::Client;
use crate::config::{ApiKey, Config};
use crate::ingest;
use crate::server::{self, Running, StartError};

/// A client, and the server behind it where the command started it.
pub(super) struct Session {
    pub(super) client: Client,
    own: Option<Running>,
    /// The data folder of a server over some files alone; removed when it is dropped.
    scratch: Option<TempDir>,
}

impl Session {
    /// Finds or starts the server to talk to.
    pub(super) async fn open(matches: &ArgMatches, config: Config) -> Result<Self, CliError> {
        let running = matches.get_one::<String>("server").cloned().or_else(|| server::holder(&config.data_dir));
        match running {
            Some(url) => {
                let key = config.api_keys.iter().find(|key| !key.read_only).or(config.api_keys.first());
                let client = Client::new(&url, key.map(|key| key.secret.expose_secret().to_owned()))?;
                Ok(Self { client, own: None, scratch: None })
            }
            None => Self::start(config).await,
        }
    }

    /// The server to ask: one over the files of `--docs` alone, else the one that [`Session::open`] finds or starts.
    pub(super) async fn to_ask(matches: &ArgMatches, config: Config) -> Result<Self, CliError> {
        let docs: Vec<PathBuf> = matches.get_many("docs").into_iter().flatten().cloned().collect();
        if docs.is_empty() {
            return Self::open(matches, config).await;
        }
        let folder = tempfile::tempdir()?;
        let started = Self::start(Config { data_dir: folder.path().to_owned(), ..config }).await?;
        let session = Self { scratch: Some(folder), ..started };
        let collection = matches.get_one::<String>("collection").map(String::as_str);
        match super::ingest::ingest(&session.client, &docs, collection).await {
            Ok(outcomes) => {
                super::ingest::report_failures(&outcomes);
                Ok(session)
            }
            Err(error) => {
                session.close().await;
                Err(error)
            }
        }
    }

    /// Starts a server of its own on loopback, guarded by a key that nobody else knows.
    pub(super) async fn start(config: Config) -> Result<Self, CliError> {
        let secret = uuid::Uuid::new_v4().to_string();
        let key = ApiKey { name: "cli".to_owned(), secret: SecretString::from(secret.clone()), read_only: false };
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, api_keys: vec![key], ..config };
        let own = server::start(config, std::env::current_exe()?).await?;
        // The index may have to be built first: after a restore, or by a new version.
        ingest::caught_up(&own.app).await.map_err(StartError::from)?;
        let client = Client::new(&format!("http://{}", own.address), Some(secret))?;
        Ok(Self { client, own: Some(own), scratch: None })
    }

    /// Stops the command's own server, its work stored.
    pub(super) async fn close(self) {
        drop(self.client);
        if let Some(own) = self.own {
            own.stop().await;
        }
        drop(self.scratch);
    }
}
