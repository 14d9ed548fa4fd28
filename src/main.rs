//! The `dokkai` program.

use std::process::ExitCode;

use dokkai::ingest::extract;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == extract::WORKER_ARGUMENT) {
        return extract::worker_main();
    }
    ExitCode::SUCCESS
}
