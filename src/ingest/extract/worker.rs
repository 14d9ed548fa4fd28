//! Extraction in a process of its own. No reader of PDF or HTML survives hostile input: stacks overflow, memory runs
//! out, loops do not end. The same binary is started again as a worker with limits on memory and time, so that one
//! document fails and nothing else.
//!
//! The protocol: one line of JSON ([`Task`]) and the file's bytes on stdin; `Result<Extracted, ExtractError>` as JSON
//! on stdout; nothing but what went wrong on stderr. With [`LIMITED`] as its second argument the worker becomes
//! another program under the same limits instead.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::ocr::{Ocr, PageImages};
use super::{ExtractError, Extracted, Input, pdf, sniff};
use crate::error::Code;

/// The hidden first argument that makes the binary a worker; `main` then does nothing but call [`worker_main`].
pub const WORKER_ARGUMENT: &str = "extract-worker";

/// The second argument of a worker that becomes another program; memory, time, the program and its arguments follow.
const LIMITED: &str = "limited";

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
    ocr: Option<Ocr>,
}

impl Extractor {
    /// `program` is the binary that becomes a worker when its first argument is [`WORKER_ARGUMENT`].
    pub fn new(program: PathBuf) -> Self {
        Self { program, limits: Limits::default(), ocr: None }
    }

    /// The same, reading scans and images too where there is a program for it.
    pub fn with_ocr(self, ocr: Option<Ocr>) -> Self {
        Self { ocr, ..self }
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
        if let Some(ocr) = self.ocr.as_ref().filter(|_| format.may_be_scanned()) {
            return ocr.extract(self, input).await;
        }
        if format.needs_guard() {
            return self.read(input, None).await?.result;
        }
        // Plain text and Markdown are read in one pass without recursion; a process for each would only cost time.
        let reading = tokio::task::spawn_blocking(move || super::extract(&input));
        reading.await.unwrap_or_else(|_| Err(crashed()))
    }

    /// Reads a file in a worker; images of a PDF's pages without text go into `images_to`.
    pub(super) async fn read(&self, input: Input, images_to: Option<&Path>) -> Result<Reading, ExtractError> {
        let mut child = self.start().map_err(|error| {
            ExtractError::new(Code::Internal, format!("the extraction process cannot be started ({})", error.kind()))
        })?;
        let answer = match tokio::time::timeout(self.limits.wall, self.converse(&mut child, input, images_to)).await {
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
            Ok(Ok(reading)) => Ok(reading),
            Ok(Err(_)) | Err(_) => Err(crashed()),
        }
    }

    fn start(&self) -> io::Result<Child> {
        self.command().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(WORKER_ARGUMENT).env_clear().kill_on_drop(true);
        // What the allocator reserved before the limits came would not count.
        command.env("MIMALLOC_ARENA_RESERVE", "0");
        command
    }

    /// Another program under the worker's limits; its arguments are to be added.
    pub(super) fn limited(&self, program: &Path) -> Command {
        let mut command = self.command();
        let limits = [self.limits.memory, self.limits.cpu.as_secs().max(1)];
        command.arg(LIMITED).args(limits.map(|limit| limit.to_string())).arg(program);
        command
    }

    /// What a command writes; nothing where it fails, takes longer than a worker may or writes more than `most` bytes.
    pub(super) async fn output_of(&self, command: &mut Command, most: u64) -> Option<Vec<u8>> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().ok()?;
        let stdout = child.stdout.take()?;
        let ended = async {
            let output = read_bounded(stdout, most.saturating_add(1)).await.ok()?;
            (output.len() as u64 <= most && child.wait().await.ok()?.success()).then_some(output)
        };
        tokio::time::timeout(self.limits.wall, ended).await.ok().flatten()
    }

    async fn converse(&self, child: &mut Child, input: Input, images_to: Option<&Path>) -> io::Result<Answer> {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let mut task = serde_json::to_vec(&Task {
            name: input.name,
            declared_type: input.declared_type,
            memory: self.limits.memory,
            cpu_s: self.limits.cpu.as_secs().max(1),
            images_to: images_to.map(Path::to_owned),
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
    images_to: Option<PathBuf>,
}

/// What a worker answers.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Reading {
    pub(super) result: Result<Extracted, ExtractError>,
    /// Images of pages without text, where they were asked for.
    pub(super) scans: PageImages,
}

/// The worker's `main`: reads one file from stdin, writes its text to stdout; or becomes another program.
pub fn worker_main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(2);
    if arguments.next().is_some_and(|argument| argument == LIMITED) {
        return become_limited(arguments);
    }
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
    limit(task.memory, task.cpu_s);
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes)?;
    let input = Input { bytes: Bytes::from(bytes), name: task.name, declared_type: task.declared_type };
    let result = super::extract(&input);
    let scans = task.images_to.map(|folder| scans(&input, &result, &folder)).unwrap_or_default();
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut stdout, &Reading { result, scans })?;
    stdout.flush()
}

/// The images of a PDF's pages in which no text was found.
fn scans(input: &Input, result: &Result<Extracted, ExtractError>, folder: &Path) -> PageImages {
    let with_text = match result {
        Ok(found) => found.pages.iter().map(|(page, _)| *page).collect(),
        Err(error) if error.code == Code::ScannedWithoutText => BTreeSet::new(),
        Err(_) => return PageImages::default(),
    };
    pdf::page_images(&input.bytes, &with_text, folder)
}

/// Binds this process and becomes the program that the arguments name; returns only where that fails.
fn become_limited(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let (Some(memory), Some(cpu_s)) = (number(), number()) else { return ExitCode::FAILURE };
    let Some(program) = arguments.next() else { return ExitCode::FAILURE };
    limit(memory, cpu_s);
    let failure = std::process::Command::new(program).args(arguments).exec();
    eprintln!("{failure}");
    ExitCode::FAILURE
}

/// Binds this process. A system that lacks one of the limits still has the parent's time limit.
fn limit(memory: u64, cpu_s: u64) {
    let exactly = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    let _ = setrlimit(Resource::As, exactly(memory));
    // The soft limit's signal tells the parent what happened; the hard one ends a process that ignores it.
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_s), maximum: Some(cpu_s.saturating_add(1)) });
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
