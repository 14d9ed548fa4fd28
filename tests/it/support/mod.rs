//! The harness: a whole server on a free port, spoken to as clients do.

pub(crate) mod app;
pub(crate) mod fake_llm;
pub(crate) mod models;
pub(crate) mod process;
pub(crate) mod records;

pub(crate) use app::TestApp;
