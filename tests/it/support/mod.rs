//! The harness.

pub(crate) mod fake_llm;
pub(crate) mod records;
