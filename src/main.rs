//! The `dokkai` program.

use std::process::ExitCode;

use dokkai::cli;
use dokkai::ingest::extract;
use mimalloc::MiMalloc;

/// glibc keeps what was freed in an arena for each thread; over many documents these grow to several times of what is
/// in use.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Extraction starts this program again as a guarded process, which must not do anything else.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == extract::WORKER_ARGUMENT) {
        return extract::worker_main();
    }
    cli::main()
}
