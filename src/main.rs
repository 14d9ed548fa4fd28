//! The `dokkai` program.

use std::process::ExitCode;

use dokkai::cli;
use dokkai::ingest::extract;

fn main() -> ExitCode {
    // Extraction starts this program again as a guarded process, which must not do anything else.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == extract::WORKER_ARGUMENT) {
        return extract::worker_main();
    }
    cli::main()
}
