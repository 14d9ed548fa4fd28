//! What tokens cost. Prices are USD per million tokens: output as `HolySheep` lists it for 2026, input at the public
//! list price of each model, all overridable by `llm_prices`. The upstream bills so many yen or yuan a dollar
//! (`jpy_per_usd`); what the same tokens cost at the official rate is shown beside it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::config::{LlmConfig, Price};

const BUILT_IN: &[(&str, Price)] = &[
    ("gpt-4.1", Price { input_usd: 2.00, output_usd: 8.00 }),
    ("claude-sonnet-4.5", Price { input_usd: 3.00, output_usd: 15.00 }),
    ("gemini-2.5-flash", Price { input_usd: 0.30, output_usd: 2.50 }),
    ("deepseek-v3.2", Price { input_usd: 0.28, output_usd: 0.42 }),
    ("text-embedding-3-small", Price { input_usd: 0.02, output_usd: 0.0 }),
    ("text-embedding-3-large", Price { input_usd: 0.13, output_usd: 0.0 }),
];

/// The effective price table.
#[derive(Debug)]
pub struct Prices {
    table: BTreeMap<String, Price>,
    jpy_per_usd: f64,
    official_jpy_per_usd: f64,
    warned: Mutex<HashSet<String>>,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// US dollars.
    pub usd: f64,
    /// Yen or yuan as the upstream bills it.
    pub jpy: f64,
}

impl Prices {
    /// The built-in table under the configured prices.
    pub fn new(config: &LlmConfig) -> Self {
        let mut table: BTreeMap<String, Price> =
            BUILT_IN.iter().map(|(model, price)| ((*model).to_owned(), *price)).collect();
        table.extend(config.prices.iter().map(|(model, price)| (model.clone(), *price)));
        Self {
            table,
            jpy_per_usd: config.jpy_per_usd,
            official_jpy_per_usd: config.official_jpy_per_usd,
            warned: Mutex::default(),
        }
    }

    /// The price of a model. `vendor/model` and a dated release (`model-2025-04-14`) count as the model.
    pub fn of(&self, model: &str) -> Option<Price> {
        let bare = model.rsplit_once('/').map_or(model, |(_, bare)| bare);
        [model, bare, undated(bare)].into_iter().find_map(|name| self.table.get(name)).copied()
    }

    /// Whether the table has a price for the model; costs of others count as 0.
    pub fn priced(&self, model: &str) -> bool {
        self.of(model).is_some()
    }

    /// What so many tokens cost; 0 for a model without a price, which is logged once per model.
    pub fn cost(&self, model: &str, prompt_tokens: u64, completion_tokens: u64) -> Cost {
        let Some(price) = self.of(model) else {
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.insert(model.to_owned()) {
                tracing::warn!(
                    model,
                    "no price is known for this model, so its calls count as free; set DOKKAI_LLM_PRICES"
                );
            }
            return Cost::default();
        };
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let usd = (prompt_tokens as f64 * price.input_usd + completion_tokens as f64 * price.output_usd) / 1_000_000.0;
        Cost { usd, jpy: usd * self.jpy_per_usd }
    }

    /// What the same dollars cost at the official rate, in yen or yuan.
    pub fn official_jpy(&self, usd: f64) -> f64 {
        usd * self.official_jpy_per_usd
    }
}

/// The name without a trailing release date, `-2025-04-14` or `-20250414`.
fn undated(name: &str) -> &str {
    let date = |text: &str| text.len() >= 8 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    name.char_indices()
        .filter(|(_, c)| *c == '-')
        .find(|(at, _)| date(&name[at + 1..]))
        .map_or(name, |(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(own: &[(&str, f64, f64)]) -> Prices {
        let mut table: BTreeMap<String, Price> = BUILT_IN.iter().map(|(m, p)| ((*m).to_owned(), *p)).collect();
        table.extend(own.iter().map(|(m, i, o)| ((*m).to_owned(), Price { input_usd: *i, output_usd: *o })));
        Prices { table, jpy_per_usd: 1.0, official_jpy_per_usd: 7.3, warned: Mutex::default() }
    }

    #[test]
    fn costs_follow_the_table() {
        let prices = prices(&[("mine", 1.0, 2.0)]);
        let check = |model: &str, prompt, completion, usd: f64| {
            let cost = prices.cost(model, prompt, completion);
            assert!((cost.usd - usd).abs() < 1e-12 && (cost.jpy - usd).abs() < 1e-12, "{model}: {cost:?}");
        };
        check("gpt-4.1", 1_000_000, 1_000_000, 10.0);
        check("deepseek-v3.2", 0, 1_000_000, 0.42);
        check("claude-sonnet-4.5", 1000, 0, 0.003);
        check("openai/gpt-4.1-2025-04-14", 0, 1_000_000, 8.0);
        check("gemini-2.5-flash-20250617", 0, 1_000_000, 2.5);
        check("mine", 500_000, 500_000, 1.5);
        check("unknown", 1_000_000, 1_000_000, 0.0);
        check("gpt-4.1", 0, 0, 0.0);
    }

    #[test]
    fn a_model_without_a_price_says_so() {
        let prices = prices(&[]);
        assert!(prices.priced("deepseek-v3.2") && !prices.priced("deepseek-v9"));
        assert!((prices.official_jpy(2.0) - 14.6).abs() < 1e-12);
    }
}
