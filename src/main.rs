//! The `dokkai` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    dokkai::cli::main()
}
