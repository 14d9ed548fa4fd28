//! Extraction in a process of its own. No reader of PDF or HTML survives hostile input: stacks overflow, memory runs
//! out, loops do not end. The same binary is started again as a worker with limits on memory and time, so that one
//! document fails and nothing else.
//!
//! The protocol: one line of JSON ([`Task`]) and the file's bytes on stdin; `Result<Extracted, ExtractError>` as JSON
//! on stdout; nothing but what went wrong on stderr.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{ExtractError, Extracted, Input, sniff};
use crate::error::Code;

/// The hidden first argument that makes the binary a worker; `main` then does nothing but call [`worker_main`].
pub const WORKER_ARGUMENT: &str = "extract-worker";

/// The stack of the thread that reads. Readers recurse once for each level of nesting.
const STACK: usize = 64 << 20;

/// How much of a worker's complaints is looked at, in bytes.
const COMPLAINTS: u64 = 16 << 10;

/// Where extraction of one document is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space of the worker, in bytes.
    pub memory: u64,
    /// Processor time of the worker, in whole seconds.
    pub cpu: Duration,
    /// Time from start to end.
    pub wall: Duration,
    /// What the worker may write, in bytes: the text as JSON.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 2 << 30, cpu: Duration::from_secs(60), wall: Duration::from_secs(90), output: 256 << 20 }
    }
}

/// Reads documents, each in a guarded process where its format needs it. The caller bounds how many run at once.
#[derive(Clone, Debug)]
pub struct Extractor {
    program: PathBuf,
    limits: Limits,
}

impl Extractor {
    /// `program` is the binary that becomes a worker when its first argument is [`WORKER_ARGUMENT`].
    pub fn new(program: PathBuf) -> Self {
        Self { program, limits: Limits::default() }
    }

    /// The same with other limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Extracts one file's text. Dropping the future ends the worker.
    ///
    /// # Errors
    /// What is wrong with the file: `empty_file`, `unsupported_type`, `malformed`, `encrypted`, `scanned_without_text`,
    /// `extraction_limit` or `extraction_crashed`. `internal` if no worker could be started.
    pub async fn extract(&self, input: Input) -> Result<Extracted, ExtractError> {
        let format = sniff::sniff(&input.bytes, input.name.as_deref(), input.declared_type.as_deref())?;
        if format.needs_guard() {
            return self.extract_guarded(input).await;
        }
        // Plain text and Markdown are read in one pass without recursion; a process for each would only cost time.
        let reading = tokio::task::spawn_blocking(move || super::extract(&input));
        reading.await.unwrap_or_else(|_| Err(crashed()))
    }

    async fn extract_guarded(&self, input: Input) -> Result<Extracted, ExtractError> {
        let mut child = self.start().map_err(|error| {
            ExtractError::new(Code::Internal, format!("the extraction process cannot be started ({})", error.kind()))
        })?;
        let answer = match tokio::time::timeout(self.limits.wall, self.converse(&mut child, input)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Err(crashed()),
            Err(_) => return Err(too_slow()),
        };
        if answer.stdout.len() as u64 > self.limits.output {
            return Err(too_much("text"));
        }
        if !answer.status.success() {
            return Err(explain(answer.status, &answer.stderr));
        }
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&answer.stdout)).await;
        match parsed {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(crashed()),
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    async fn converse(&self, child: &mut Child, input: Input) -> io::Result<Answer> {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let mut task = serde_json::to_vec(&Task {
            name: input.name,
            declared_type: input.declared_type,
            memory: self.limits.memory,
            cpu_s: self.limits.cpu.as_secs().max(1),
        })?;
        task.push(b'\n');
        let send = async move {
            // A worker that ends before it has read everything says why by its status.
            let _ = stdin.write_all(&task).await;
            let _ = stdin.write_all(&input.bytes).await;
            let _ = stdin.shutdown().await;
        };
        let ((), stdout, stderr) = tokio::join!(
            send,
            read_bounded(stdout, self.limits.output.saturating_add(1)),
            read_bounded(stderr, COMPLAINTS)
        );
        let (stdout, stderr) = (stdout?, stderr?);
        if stdout.len() as u64 > self.limits.output {
            // Nobody reads on, so the worker would wait forever.
            child.start_kill()?;
        }
        Ok(Answer { status: child.wait().await?, stdout, stderr })
    }
}

/// Reads up to `limit` bytes, then closes the stream.
async fn read_bounded(stream: impl AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    stream.take(limit).read_to_end(&mut read).await?;
    Ok(read)
}

struct Answer {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What a worker is told before the file's bytes.
#[derive(serde::Serialize, serde::Deserialize)]
struct Task {
    name: Option<String>,
    declared_type: Option<String>,
    memory: u64,
    cpu_s: u64,
}

/// The worker's `main`: reads one file from stdin, writes its text to stdout.
pub fn worker_main() -> ExitCode {
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(work);
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        // A panic has already been written to stderr.
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => ExitCode::FAILURE,
    }
}

fn work() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let task: Task = serde_json::from_str(&line)?;
    limit(&task);
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes)?;
    let input = Input { bytes: Bytes::from(bytes), name: task.name, declared_type: task.declared_type };
    let result = super::extract(&input);
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut stdout, &result)?;
    stdout.flush()
}

/// Binds this process. A system that lacks one of the limits still has the parent's time limit.
fn limit(task: &Task) {
    let exactly = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    let _ = setrlimit(Resource::As, exactly(task.memory));
    // The soft limit's signal tells the parent what happened; the hard one ends a process that ignores it.
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(task.cpu_s), maximum: Some(task.cpu_s + 1) });
    let _ = setrlimit(Resource::Core, exactly(0));
}

/// Why a worker ended without an answer, as far as its end tells.
fn explain(status: ExitStatus, stderr: &[u8]) -> ExtractError {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal();
    let is = |signals: &[rustix::process::Signal]| signals.iter().any(|s| signal == Some(s.as_raw()));
    let complaints = String::from_utf8_lossy(stderr);
    if is(&[rustix::process::Signal::XCPU, rustix::process::Signal::KILL]) {
        too_slow()
    } else if complaints.contains("memory allocation") || complaints.contains("Cannot allocate memory") {
        too_much("memory")
    } else {
        crashed()
    }
}

fn crashed() -> ExtractError {
    ExtractError::new(
        Code::ExtractionCrashed,
        "the file made its reader crash; open it in the program that made it, save it anew and upload that",
    )
}

fn too_slow() -> ExtractError {
    ExtractError::new(Code::ExtractionLimit, "reading the file took too long; split it and upload the parts")
}

fn too_much(what: &str) -> ExtractError {
    let message = format!("reading the file took too much {what}; split it and upload the parts");
    ExtractError::new(Code::ExtractionLimit, message)
}
