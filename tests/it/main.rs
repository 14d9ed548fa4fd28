//! The whole server and its parts against the promises of the README.
//! One binary: a file per promise, and the harness in `support`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop at once")]

mod again;
mod answers;
mod borders;
mod clients;
mod commands;
mod conversations;
mod cors;
mod crashes;
mod documents;
mod errors;
mod evaluation;
mod extract;
mod filters;
mod formats;
mod hybrid;
mod injection;
mod judged;
mod mcp;
mod migrations;
mod openai;
mod openapi;
mod page;
mod questions;
mod readme;
mod responses;
mod restart;
mod scans;
mod search;
mod standing;
mod store;
mod support;
mod translations;
mod trust;
mod upkeep;
mod upstream;
mod watch;
