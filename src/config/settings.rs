//! The table of all settings, and where the effective value of each comes from.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::ConfigError;

/// The upstream that is used where none is configured.
pub const DEFAULT_BASE_URL: &str = "https://api.holysheep.ai/v1";

/// The settings file that is read where it exists.
pub const FILE: &str = "dokkai.toml";

/// One setting: its name in the file (`listen`), from which its flag (`--listen`) and variable (`DOKKAI_LISTEN`)
/// follow, its default, and what it means.
pub struct Setting {
    /// Key in the file.
    pub name: &'static str,
    /// The value where nothing else says one; empty for none.
    pub default: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help, secret: false }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: "", help, secret: true }
}

/// Every setting, in the order that `dokkai config` and the README show them.
pub const SETTINGS: &[Setting] = &[
    setting("listen", "127.0.0.1:8080", "address to listen on; one that is not loopback needs API keys or allow_open"),
    setting("allow_open", "false", "serve a non-loopback address without API keys"),
    setting("public_url", "", "where users reach the server, for links in answers; else the host that a request names"),
    setting(
        "cors_origins",
        "",
        "comma list of origins whose pages may call the API, such as https://app.example.com; * for all",
    ),
    setting("data_dir", "./data", "folder of the SQLite file and the index"),
    setting("database_url", "sqlite", "ground state: sqlite in the data folder"),
    setting("search_url", "tantivy", "index: tantivy in the data folder"),
    secret("api_keys", "comma list of name:secret or name:secret:read; none: everyone may do everything"),
    setting("llm_base_url", DEFAULT_BASE_URL, "base URL of any OpenAI-compatible API"),
    secret("llm_api_key", "bearer token for it; else HOLYSHEEP_API_KEY, else OPENAI_API_KEY"),
    setting("analysis_model", "deepseek-v3.2", "model that analyses each document; after commas, fallbacks in order"),
    setting("synthesis_model", "gpt-4.1", "model that writes the answer; after commas, fallbacks in order"),
    setting(
        "embedding_model",
        "",
        "for hybrid retrieval: passages and queries become vectors by this model of the same API",
    ),
    setting(
        "embedding_input",
        "auto",
        "how queries and passages are told apart: auto (by the model), plain, input_type, or QUERY/PASSAGE prefixes",
    ),
    setting(
        "translate",
        "auto",
        "search for a question in the documents' other language (Japanese, English) as well: on, off, or auto (where no \
         document is in the question's, and without embedding_model)",
    ),
    setting("llm_max_concurrent", "50", "upstream requests in flight, whole process"),
    setting("llm_rpm", "", "upstream requests a minute, whole process"),
    setting("llm_tpm", "", "upstream tokens a minute, whole process"),
    setting("llm_connect_timeout_ms", "5000", "connecting, per attempt"),
    setting("llm_idle_timeout_ms", "25000", "silence on an open response, per attempt"),
    setting("llm_total_timeout_ms", "60000", "one attempt as a whole"),
    setting("llm_max_attempts", "4", "tries of one call, the first included"),
    setting("llm_backoff_ms", "500", "upper bound of the first wait between tries; it doubles with each"),
    setting("llm_hedge", "true", "start a second attempt for a straggling analysis"),
    setting(
        "llm_prices",
        "",
        "prices over the built-in table: MODEL=INPUT/OUTPUT in USD per million tokens, after commas more",
    ),
    setting("jpy_per_usd", "1", "yen or yuan billed per US dollar by the upstream"),
    setting("official_jpy_per_usd", "7.3", "the same at the official rate, for comparison"),
    setting("top_k", "5", "documents analysed per question, 1 to 50"),
    setting("answer_deadline_ms", "60000", "one question as a whole; later analyses are reported, not waited for"),
    setting("max_upload_mb", "50", "one uploaded file"),
    setting(
        "ocr",
        "auto",
        "auto: scans and images are read by tesseract (languages jpn and eng) where it is installed; off: they are refused",
    ),
    setting("max_cost_usd", "", "ceiling of one question's upstream cost"),
    setting("log", "info", "log filter, such as info or dokkai=debug"),
    setting("log_format", "text", "text or json"),
];

impl Setting {
    /// The environment variable of this setting.
    pub fn variable(&self) -> String {
        format!("DOKKAI_{}", self.name.to_uppercase())
    }

    /// The flag of this setting, without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The flag as clap knows it, the environment variable included.
    pub fn arg(&self) -> clap::Arg {
        clap::Arg::new(self.name)
            .long(self.flag())
            .env(self.variable())
            .hide_env_values(self.secret)
            .value_name("VALUE")
            .help(self.help)
            .global(true)
            .help_heading("Settings")
    }
}

/// Where an effective value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A flag on the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The settings file.
    File,
    /// None of them.
    Default,
}

/// One effective value before it is parsed.
#[derive(Clone, Debug)]
pub struct Value {
    /// As written; empty where there is none.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The effective values by name.
pub type Values = BTreeMap<&'static str, Value>;

/// Gathers the effective value of every setting from flags and environment (`matches`), then `file`, then defaults.
///
/// # Errors
/// Where the file exists and is unreadable, no TOML, or names an unknown setting.
pub fn gather(matches: &ArgMatches, file: &Path) -> Result<Values, ConfigError> {
    let table = read_file(file)?;
    if let Some(name) = table.keys().find(|name| SETTINGS.iter().all(|s| s.name != name.as_str())) {
        return Err(ConfigError::Unknown { path: file.to_owned(), name: name.clone() });
    }
    let mut values = Values::new();
    for setting in SETTINGS {
        // An empty variable counts as unset: that is how compose files and shells clear one.
        let given = matches.try_get_one::<String>(setting.name).ok().flatten().filter(|text| !text.is_empty());
        let value = match (given, matches.value_source(setting.name), table.get(setting.name)) {
            (Some(text), Some(ValueSource::EnvVariable), _) => {
                Value { text: text.clone(), origin: Origin::Environment }
            }
            (Some(text), _, _) => Value { text: text.clone(), origin: Origin::Flag },
            (None, _, Some(value)) => Value { text: file_text(value), origin: Origin::File },
            (None, _, None) => Value { text: setting.default.to_owned(), origin: Origin::Default },
        };
        values.insert(setting.name, value);
    }
    if values["llm_api_key"].text.is_empty() {
        let shared = ["HOLYSHEEP_API_KEY", "OPENAI_API_KEY"].into_iter().find_map(environment);
        if let Some(text) = shared {
            values.insert("llm_api_key", Value { text, origin: Origin::Environment });
        }
    }
    Ok(values)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn read_file(path: &Path) -> Result<toml::Table, ConfigError> {
    let fail = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().map_err(|error: toml::de::Error| fail(error.message().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(toml::Table::new()),
        Err(error) => Err(fail(error.to_string())),
    }
}

/// A file's value in the form that a flag would have: lists are joined by commas.
fn file_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(file_text).collect::<Vec<_>>().join(","),
        other @ (toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_)) => other.to_string(),
    }
}

/// What `dokkai config` shows of a value: secrets are masked.
pub fn shown(setting: &Setting, value: &Value) -> String {
    if setting.secret && !value.text.is_empty() { "********".to_owned() } else { value.text.clone() }
}
