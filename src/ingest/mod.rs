//! Uploaded document → searchable.

pub mod extract;
pub mod passages;
