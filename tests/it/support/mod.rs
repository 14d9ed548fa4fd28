//! The harness.

pub(crate) mod records;
