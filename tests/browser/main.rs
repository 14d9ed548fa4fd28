//! The page in a real browser, against the whole server: what a user does, and what must never happen meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop at once")]

mod access;
mod activity;
#[path = "../it/support/app.rs"]
#[allow(dead_code, reason = "the harness is shared; each binary uses a part of it")]
mod app;
mod asking;
mod chromium;
mod conversations;
mod deleting;
mod documents;
#[path = "../it/support/fake_llm.rs"]
#[allow(dead_code, reason = "the harness is shared; each binary uses a part of it")]
mod fake_llm;
mod hostile;

const REFUND: &str = "Goods can be returned within 30 days. The customer pays for the parcel.";
const HENPIN: &str = "返品は商品到着後三十日以内に承ります。送料はお客様のご負担です。";
