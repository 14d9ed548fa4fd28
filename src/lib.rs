//! dokkai (読解): a document question-answering server.
//!
//! Two flows make up the whole program.
//!
//! **Document: upload → searchable.** [`http`] receives a file and [`store`] keeps it, queued. [`ingest`] takes the
//! oldest queued document, extracts its text, cuts it into passages and hands them back to the store, which notes
//! the change in its change log. The log is then applied to [`search`]; once the index has committed past the
//! document's change, the document is `ready`. Where there is an embedding model, vectors of the passages follow. The store is the ground state; the index can be rebuilt from it.
//!
//! **Question: question → stored answer.** [`answer`] retrieves the best passages of the best documents, analyses
//! each document concurrently with a cheap model, drops what is irrelevant, lets a strong model synthesise one
//! answer, resolves its citations against the stored text, and stores everything. The stream that a client sees is a
//! view of that work; a client that leaves cancels nothing. Every call upstream goes through [`llm`].
//!
//! In reading order; each module uses only those after it:
//!
//! - [`cli`]: one file a command.
//! - [`server`]: everything opened, recovered, served and stopped.
//! - [`http`]: REST, SSE, the protocols of chat frontends and agents, and the page.
//! - [`ingest`] and [`answer`]: the two flows; strangers to each other.
//! - [`app`]: the context that everything above is given; [`live`]: the questions that are running; [`readings`]: what
//!   was read of documents lately.
//! - [`store`], [`search`] and [`llm`]: the adapters, strangers to each other. SQL, tantivy and upstream HTTP stay inside.
//! - [`feed`]: what happens to documents, told by the store.
//! - [`config`], [`model`], [`tokens`], [`text`] and [`error`]: settings, plain data, token estimates, texts in a line and
//!   stable codes.
//!
//! [`simulate`] is a stand-in upstream for tests, load and demonstrations.

pub mod answer;
pub mod app;
pub mod cli;
pub mod config;
pub mod error;
pub mod feed;
pub mod http;
pub mod ingest;
pub mod live;
pub mod llm;
pub mod model;
pub mod readings;
pub mod search;
pub mod server;
pub mod simulate;
pub mod store;
pub mod text;
pub mod tokens;
