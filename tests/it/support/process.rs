//! The real program as a process of its own, for tests of signals, crashes and commands.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::app::PROGRAM;

/// Longer than any start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A serving process.
pub(crate) struct Process {
    pub(crate) url: String,
    child: Child,
}

impl Process {
    /// Starts `dokkai` on a data folder and waits until it serves.
    pub(crate) fn serve(folder: &Path, flags: &[&str]) -> Self {
        let child =
            command(folder).args(["--listen", "127.0.0.1:0"]).args(flags).stderr(Stdio::null()).spawn().unwrap();
        let mut process = Self { url: String::new(), child };
        process.url = process.wait_for_url(folder);
        process
    }

    /// The lock file names the address from the moment that the server listens.
    fn wait_for_url(&mut self, folder: &Path) -> String {
        let begun = Instant::now();
        loop {
            if let Some(url) = dokkai::server::holder(folder).filter(|url| answers(url)) {
                return url;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended at once");
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            std::thread::yield_now();
        }
    }

    /// Ends the process at once, without any chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to end (SIGTERM), and waits for its exit status.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended where `kill` or `terminate` came first.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|address| std::net::TcpStream::connect(address).is_ok())
}

/// `dokkai` with a data folder, and without settings from this process' environment or folder.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("DOKKAI_DATA_DIR", folder).current_dir(folder);
    command
}

/// Runs a command to its end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder).args(args).output().unwrap()
}

/// What a command printed.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
