//! The harness.

pub(crate) mod fake_llm;
