//! Settings. Each has three forms (flag, environment variable, key in `dokkai.toml`) and comes from the first of
//! them that is given, else from its default. One table describes them all: the flags, `dokkai config` and the
//! typed [`Config`] are made from it. This is the only reader of the environment.

mod embedding;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub use embedding::EmbeddingInput;
pub use settings::{DEFAULT_BASE_URL, FILE, Origin, SETTINGS, Setting, Value, Values, gather, shown};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The settings file cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The settings file names a setting that does not exist.
    #[error("{path}: unknown setting {name:?}; `dokkai config` lists them all")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        name: String,
    },
    /// A value does not fit its setting. The message never repeats a secret.
    #[error("{variable}: {reason}")]
    Invalid {
        /// The setting's environment variable, as the best known of its names.
        variable: String,
        /// What is wrong and what would do.
        reason: String,
    },
    /// The address is reachable from elsewhere and nothing guards it.
    #[error(
        "refusing to listen on {0} without API keys: set DOKKAI_API_KEYS=name:secret, listen on 127.0.0.1, or set DOKKAI_ALLOW_OPEN=true"
    )]
    Open(SocketAddr),
}

/// A key that clients present as `Authorization: Bearer SECRET`.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Names the key in logs.
    pub name: String,
    /// What the client presents.
    pub secret: SecretString,
    /// Whether it may only read: search, ask, list.
    pub read_only: bool,
}

/// When a question is searched for in the documents' other language as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translate {
    /// Where no document is in the question's language, and without an embedding model, which finds documents across
    /// languages by itself.
    Auto,
    /// Wherever there are documents in the other language.
    On,
    /// Never.
    Off,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What one model costs, in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Tokens sent.
    pub input_usd: f64,
    /// Tokens received.
    pub output_usd: f64,
}

/// Settings of the upstream calls.
#[derive(Clone, Debug)]
pub struct LlmConfig {
    /// Without a trailing slash.
    pub base_url: String,
    /// Bearer token; none for upstreams that need none.
    pub api_key: Option<SecretString>,
    /// First choice, then fallbacks; never empty.
    pub analysis_models: Vec<String>,
    /// First choice, then fallbacks; never empty.
    pub synthesis_models: Vec<String>,
    /// Set: hybrid retrieval.
    pub embedding_model: Option<String>,
    /// Requests in flight, whole process; at least 1.
    pub max_concurrent: usize,
    /// Requests a minute, whole process.
    pub rpm: Option<u32>,
    /// Tokens a minute, whole process.
    pub tpm: Option<u32>,
    /// Per attempt.
    pub connect_timeout: Duration,
    /// Silence on an open response, per attempt.
    pub idle_timeout: Duration,
    /// One attempt as a whole.
    pub total_timeout: Duration,
    /// The first included; at least 1.
    pub max_attempts: u32,
    /// Upper bound of the first wait between tries; it doubles with each.
    pub backoff: Duration,
    /// Whether a straggling analysis gets a second attempt beside the first.
    pub hedge: bool,
    /// Prices over the built-in table.
    pub prices: BTreeMap<String, Price>,
    /// What the upstream bills per US dollar.
    pub jpy_per_usd: f64,
    /// The same at the official rate.
    pub official_jpy_per_usd: f64,
}

impl LlmConfig {
    /// Whether there is an upstream to call: a key, or a base URL that was set on purpose.
    pub fn is_configured(&self) -> bool {
        self.api_key.is_some() || self.base_url != DEFAULT_BASE_URL
    }
}

/// All settings, parsed. Secrets print as `[REDACTED]`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Serve a non-loopback address without keys.
    pub allow_open: bool,
    /// Where users reach the server, without a trailing slash; begins with `http://` or `https://`.
    pub public_url: Option<String>,
    /// Origins whose pages may call the API, each `SCHEME://HOST[:PORT]`, or `*` for all.
    pub cors_origins: Vec<String>,
    /// Folder of the SQLite file and the index.
    pub data_dir: PathBuf,
    /// Empty: no key is needed.
    pub api_keys: Vec<ApiKey>,
    /// Settings of the upstream calls.
    pub llm: LlmConfig,
    /// How queries and passages are told apart when they are embedded.
    pub embedding_input: EmbeddingInput,
    /// When a question is searched for in the documents' other language as well.
    pub translate: Translate,
    /// Documents analysed per question, 1 to 50.
    pub top_k: usize,
    /// One question as a whole.
    pub answer_deadline: Duration,
    /// One uploaded file.
    pub max_upload_bytes: usize,
    /// Whether images of text are read, where the program for it is installed.
    pub ocr: bool,
    /// Ceiling of one question's upstream cost.
    pub max_cost_usd: Option<f64>,
    /// Log filter.
    pub log: String,
    /// How logs are written.
    pub log_format: LogFormat,
}

impl Config {
    /// Parses the effective values.
    ///
    /// # Errors
    /// The first value that does not fit its setting.
    pub fn parse(values: &Values) -> Result<Self, ConfigError> {
        let read = Reader { values };
        read.only("database_url", "sqlite")?;
        read.only("search_url", "tantivy")?;
        let top_k = read.number::<usize>("top_k")?;
        if !(1..=50).contains(&top_k) {
            return Err(read.invalid("top_k", "must be from 1 to 50"));
        }
        let base_url = read.text("llm_base_url").trim_end_matches('/').to_owned();
        if !base_url.starts_with("http://") && !base_url.starts_with("https://") {
            return Err(read.invalid("llm_base_url", "must begin with http:// or https://"));
        }
        Ok(Self {
            listen: read
                .text("listen")
                .parse()
                .map_err(|_| read.invalid("listen", "must be an address and a port, such as 127.0.0.1:8080"))?,
            allow_open: read.boolean("allow_open")?,
            public_url: read.public_url()?,
            cors_origins: read.cors_origins()?,
            data_dir: PathBuf::from(read.text("data_dir")),
            api_keys: read.api_keys()?,
            llm: LlmConfig {
                base_url,
                api_key: read.some("llm_api_key").map(SecretString::from),
                analysis_models: read.models("analysis_model")?,
                synthesis_models: read.models("synthesis_model")?,
                embedding_model: read.some("embedding_model").map(str::to_owned),
                max_concurrent: read.at_least_one("llm_max_concurrent")?,
                rpm: read.optional("llm_rpm")?,
                tpm: read.optional("llm_tpm")?,
                connect_timeout: read.milliseconds("llm_connect_timeout_ms")?,
                idle_timeout: read.milliseconds("llm_idle_timeout_ms")?,
                total_timeout: read.milliseconds("llm_total_timeout_ms")?,
                max_attempts: u32::try_from(read.at_least_one("llm_max_attempts")?).unwrap_or(u32::MAX),
                backoff: read.milliseconds("llm_backoff_ms")?,
                hedge: read.boolean("llm_hedge")?,
                prices: read.prices()?,
                jpy_per_usd: read.number("jpy_per_usd")?,
                official_jpy_per_usd: read.number("official_jpy_per_usd")?,
            },
            embedding_input: EmbeddingInput::parse(read.text("embedding_input"), read.text("embedding_model"))
                .ok_or_else(|| {
                    read.invalid("embedding_input", "must be auto, plain, input_type, or two prefixes around a slash")
                })?,
            translate: match read.text("translate") {
                "auto" => Translate::Auto,
                "on" => Translate::On,
                "off" => Translate::Off,
                _ => return Err(read.invalid("translate", "must be auto, on or off")),
            },
            top_k,
            answer_deadline: read.milliseconds("answer_deadline_ms")?,
            max_upload_bytes: read.at_least_one("max_upload_mb")?.saturating_mul(1024 * 1024),
            ocr: match read.text("ocr") {
                "auto" => true,
                "off" => false,
                _ => return Err(read.invalid("ocr", "must be auto or off")),
            },
            max_cost_usd: read.optional("max_cost_usd")?,
            log: read.text("log").to_owned(),
            log_format: match read.text("log_format") {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(read.invalid("log_format", "must be text or json")),
            },
        })
    }

    /// Refuses an address that others can reach while nothing guards it.
    ///
    /// # Errors
    /// [`ConfigError::Open`].
    pub fn check_listen(&self) -> Result<(), ConfigError> {
        if self.listen.ip().is_loopback() || !self.api_keys.is_empty() || self.allow_open {
            Ok(())
        } else {
            Err(ConfigError::Open(self.listen))
        }
    }
}

struct Reader<'a> {
    values: &'a Values,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.values.get(name).map_or("", |value| value.text.trim())
    }

    fn some(&self, name: &str) -> Option<&'a str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn invalid(&self, name: &str, reason: &str) -> ConfigError {
        ConfigError::Invalid { variable: format!("DOKKAI_{}", name.to_uppercase()), reason: reason.to_owned() }
    }

    fn only(&self, name: &str, supported: &str) -> Result<(), ConfigError> {
        if self.text(name) == supported {
            Ok(())
        } else {
            Err(self.invalid(name, &format!("only {supported} is supported")))
        }
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, ConfigError> {
        self.text(name).parse().map_err(|_| self.invalid(name, "must be a number"))
    }

    fn optional<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        self.some(name).map(|_| self.number(name)).transpose()
    }

    fn at_least_one(&self, name: &str) -> Result<usize, ConfigError> {
        match self.number(name)? {
            0 => Err(self.invalid(name, "must be at least 1")),
            number => Ok(number),
        }
    }

    fn milliseconds(&self, name: &str) -> Result<Duration, ConfigError> {
        self.number(name).map(Duration::from_millis)
    }

    fn boolean(&self, name: &str) -> Result<bool, ConfigError> {
        match self.text(name) {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.invalid(name, "must be true or false")),
        }
    }

    fn models(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let models: Vec<String> = list(self.text(name)).map(str::to_owned).collect();
        if models.is_empty() { Err(self.invalid(name, "must name a model")) } else { Ok(models) }
    }

    fn api_keys(&self) -> Result<Vec<ApiKey>, ConfigError> {
        let invalid = || self.invalid("api_keys", "each key must be name:secret or name:secret:read");
        list(self.text("api_keys"))
            .map(|key| {
                let parts: Vec<&str> = key.split(':').collect();
                let (name, secret, read_only) = match parts[..] {
                    [name, secret] => (name, secret, false),
                    [name, secret, "read"] => (name, secret, true),
                    _ => return Err(invalid()),
                };
                if name.is_empty() || secret.is_empty() {
                    return Err(invalid());
                }
                Ok(ApiKey { name: name.to_owned(), secret: SecretString::from(secret), read_only })
            })
            .collect()
    }

    fn public_url(&self) -> Result<Option<String>, ConfigError> {
        let Some(url) = self.some("public_url").map(|url| url.trim_end_matches('/')) else { return Ok(None) };
        if origin_of(url).is_none() {
            return Err(self.invalid("public_url", "must be an address, such as https://docs.example.com"));
        }
        Ok(Some(url.to_owned()))
    }

    fn cors_origins(&self) -> Result<Vec<String>, ConfigError> {
        let origins = list(self.text("cors_origins")).map(|origin| origin.trim_end_matches('/').to_owned());
        let origins: Vec<String> = origins.collect();
        if origins.iter().all(|origin| origin == "*" || origin_of(origin) == Some(origin.as_str())) {
            return Ok(origins);
        }
        Err(self.invalid("cors_origins", "each must be * or a scheme and a host, such as https://app.example.com"))
    }

    fn prices(&self) -> Result<BTreeMap<String, Price>, ConfigError> {
        let invalid = || self.invalid("llm_prices", "each price must be MODEL=INPUT/OUTPUT, such as gpt-4.1=2.00/8.00");
        let usd = |text: &str| text.trim().parse::<f64>().ok().filter(|usd| usd.is_finite() && *usd >= 0.0);
        list(self.text("llm_prices"))
            .map(|entry| {
                let (model, prices) = entry.rsplit_once('=').ok_or_else(invalid)?;
                let (input, output) = prices.split_once('/').ok_or_else(invalid)?;
                let price =
                    Price { input_usd: usd(input).ok_or_else(invalid)?, output_usd: usd(output).ok_or_else(invalid)? };
                Ok((model.trim().to_owned(), price))
            })
            .collect()
    }
}

/// The `SCHEME://HOST[:PORT]` that an address begins with.
pub fn origin_of(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let length = url.len() - authority.len() + authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let origin = url.get(..length)?;
    let host = origin.rsplit("//").next()?;
    (!host.is_empty() && host.chars().all(is_plain)).then_some(origin)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Whether a presented secret is this key's, in time that does not depend on where they differ.
pub fn matches_secret(key: &ApiKey, presented: &str) -> bool {
    use subtle::ConstantTimeEq as _;
    key.secret.expose_secret().as_bytes().ct_eq(presented.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> clap::Command {
        clap::Command::new("dokkai").args(SETTINGS.iter().map(Setting::arg))
    }

    fn values(args: &[&str], file: &str) -> Result<Values, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, file).unwrap();
        let matches = command().get_matches_from([&["dokkai"], args].concat());
        gather(&matches, &path)
    }

    #[test]
    fn defaults_parse() {
        let config = Config::parse(&values(&[], "").unwrap()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.llm.analysis_models, ["deepseek-v3.2"]);
        assert_eq!(config.max_upload_bytes, 50 * 1024 * 1024);
        config.check_listen().unwrap();
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let values =
            values(&["--top-k", "7"], "top_k = 9\nllm_max_concurrent = 12\nanalysis_model = [\"a\", \"b\"]").unwrap();
        assert_eq!((values["top_k"].text.as_str(), values["top_k"].origin), ("7", Origin::Flag));
        assert_eq!(
            (values["llm_max_concurrent"].text.as_str(), values["llm_max_concurrent"].origin),
            ("12", Origin::File)
        );
        assert_eq!(values["listen"].origin, Origin::Default);
        assert_eq!(Config::parse(&values).unwrap().llm.analysis_models, ["a", "b"]);
    }

    #[test]
    fn addresses_and_origins_lose_their_last_slash() {
        let args = ["--public-url", "https://docs.example.com/dokkai/", "--cors-origins", "http://a.example:3000/, *"];
        let config = Config::parse(&values(&args, "").unwrap()).unwrap();
        assert_eq!(config.public_url.as_deref(), Some("https://docs.example.com/dokkai"));
        assert_eq!(config.cors_origins, ["http://a.example:3000", "*"]);
        assert_eq!(origin_of("https://docs.example.com/dokkai"), Some("https://docs.example.com"));
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_refused() {
        assert!(matches!(values(&[], "topk = 3"), Err(ConfigError::Unknown { name, .. }) if name == "topk"));
    }

    #[test]
    fn values_that_do_not_fit_name_their_variable() {
        let cases = [
            (vec!["--top-k", "51"], "DOKKAI_TOP_K"),
            (vec!["--top-k", "many"], "DOKKAI_TOP_K"),
            (vec!["--listen", "8080"], "DOKKAI_LISTEN"),
            (vec!["--llm-base-url", "api.example"], "DOKKAI_LLM_BASE_URL"),
            (vec!["--llm-max-concurrent", "0"], "DOKKAI_LLM_MAX_CONCURRENT"),
            (vec!["--api-keys", "nosecret"], "DOKKAI_API_KEYS"),
            (vec!["--llm-prices", "gpt-4.1=2"], "DOKKAI_LLM_PRICES"),
            (vec!["--database-url", "postgres://x"], "DOKKAI_DATABASE_URL"),
            (vec!["--log-format", "xml"], "DOKKAI_LOG_FORMAT"),
            (vec!["--ocr", "sometimes"], "DOKKAI_OCR"),
            (vec!["--allow-open", "perhaps"], "DOKKAI_ALLOW_OPEN"),
            (vec!["--public-url", "docs.example.com"], "DOKKAI_PUBLIC_URL"),
            (vec!["--cors-origins", "https://a.example/path"], "DOKKAI_CORS_ORIGINS"),
            (vec!["--cors-origins", "a.example"], "DOKKAI_CORS_ORIGINS"),
        ];
        for (args, variable) in cases {
            let error = Config::parse(&values(&args, "").unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(variable), "{args:?}: {error}");
        }
    }

    #[test]
    fn keys_parse_and_never_print() {
        let values = values(&["--api-keys", "shop:s3cret, view:0ther:read"], "").unwrap();
        let config = Config::parse(&values).unwrap();
        assert_eq!(config.api_keys.len(), 2);
        assert!(!config.api_keys[0].read_only && config.api_keys[1].read_only);
        assert!(matches_secret(&config.api_keys[0], "s3cret"));
        assert!(!matches_secret(&config.api_keys[0], "s3cre"));
        assert!(!format!("{config:?}").contains("s3cret"));
        let setting = SETTINGS.iter().find(|s| s.name == "api_keys").unwrap();
        assert!(!shown(setting, &values["api_keys"]).contains("s3cret"));
    }

    #[test]
    fn an_open_address_needs_keys_or_a_decision() {
        let check = |args: &[&str]| Config::parse(&values(args, "").unwrap()).unwrap().check_listen().is_ok();
        assert!(!check(&["--listen", "0.0.0.0:8080"]));
        assert!(check(&["--listen", "0.0.0.0:8080", "--api-keys", "a:b"]));
        assert!(check(&["--listen", "0.0.0.0:8080", "--allow-open", "true"]));
        assert!(check(&["--listen", "[::1]:8080"]));
    }
}
