//! The whole server and its parts against the promises of the README.
//! One binary: a file per promise, and the harness in `support`.

mod extract;
mod support;
