//! An HTTP/1.1 server that controls every byte: when it answers, in what pieces, and where it breaks off. It listens
//! on loopback alone.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const LONGEST_HEAD: usize = 64 * 1024;
const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST` and the like.
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
    /// When it was complete.
    pub at: Instant,
}

impl Request {
    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a request gets.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Before anything is sent.
    pub delay: Duration,
    /// HTTP status.
    pub status: u16,
    /// Beside the length.
    pub headers: Vec<(String, String)>,
    /// What the body is.
    pub body: Body,
    /// How it ends.
    pub ending: Ending,
}

/// A reply's body.
#[derive(Clone, Debug)]
pub enum Body {
    /// At once, with its length.
    Whole(Vec<u8>),
    /// Piece by piece, each after its pause, in chunked transfer.
    Pieces(Vec<(Duration, Vec<u8>)>),
}

/// How a reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Complete,
    /// Closed after so many bytes of the body.
    CutAfter(usize),
    /// Silent after so many bytes of the body, until the client leaves.
    StallAfter(usize),
    /// Reset after so many bytes of the body.
    ResetAfter(usize),
    /// Silent from the beginning, until the client leaves.
    Silence,
    /// Reset instead of any answer.
    Reset,
}

/// What the server saw.
#[derive(Debug, Default)]
pub struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    took: Mutex<VecDeque<Duration>>,
}

/// Requests of which is known how long they took.
const LATEST: usize = 64;

impl Counts {
    /// Connections accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Complete requests.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Requests being answered now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The most requests that were being answered at the same time.
    pub fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }

    /// How long each of the latest requests took, from its last byte to that of its reply, in the order in which they
    /// ended.
    pub fn took(&self) -> Vec<Duration> {
        self.took.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn note(&self, took: Duration) {
        let mut all = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == LATEST {
            all.pop_front();
        }
        all.push_back(took);
    }
}

/// Decides what each request gets.
pub type Handler = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on a port of loopback; port 0 picks a free one.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(port: u16, handler: Handler) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let accepting = tokio::spawn(accept(listener, handler, Arc::clone(&counts)));
        Ok(Self { address, counts, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw so far.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, handler: Handler, counts: Arc<Counts>) {
    // Dropped with this task, so that stopping the server closes its connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let (handler, counts) = (Arc::clone(&handler), Arc::clone(&counts));
        connections.spawn(async move {
            // A client that left has nobody to tell.
            let _ = serve(stream, &handler, &counts).await;
        });
    }
}

async fn serve(mut stream: TcpStream, handler: &Handler, counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        let _guard = InFlight::enter(counts);
        let at = request.at;
        let reply = handler(request);
        let goes_on = answer(&mut stream, &mut buffer, reply).await?;
        counts.note(at.elapsed());
        if !goes_on {
            break;
        }
    }
    Ok(())
}

struct InFlight<'a>(&'a Counts);

impl<'a> InFlight<'a> {
    fn enter(counts: &'a Counts) -> Self {
        let now = counts.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(counts)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The next request; none where the client is gone or does not speak HTTP.
async fn read_request(stream: &mut TcpStream, buffer: &mut BytesMut) -> std::io::Result<Option<Request>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        match head.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => {
                let mut request = Request {
                    method: head.method.unwrap_or_default().to_owned(),
                    path: head.path.unwrap_or_default().to_owned(),
                    headers: head
                        .headers
                        .iter()
                        .map(|h| (h.name.to_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
                        .collect(),
                    body: Vec::new(),
                    at: Instant::now(),
                };
                buffer.advance(length);
                let size: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                if size > LONGEST_BODY {
                    return Ok(None);
                }
                if request.header("expect").is_some() {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                while buffer.len() < size {
                    if stream.read_buf(buffer).await? == 0 {
                        return Ok(None);
                    }
                }
                request.body = buffer.split_to(size).to_vec();
                request.at = Instant::now();
                return Ok(Some(request));
            }
            Ok(httparse::Status::Partial) if buffer.len() < LONGEST_HEAD => {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
            Ok(httparse::Status::Partial) | Err(_) => return Ok(None),
        }
    }
}

/// Sends a reply; whether the connection can go on.
async fn answer(stream: &mut TcpStream, buffer: &mut BytesMut, reply: Reply) -> std::io::Result<bool> {
    if !wait(stream, buffer, reply.delay).await? {
        return Ok(false);
    }
    match reply.ending {
        Ending::Silence => return stall(stream, buffer).await,
        Ending::Reset => return reset(stream),
        Ending::Complete | Ending::CutAfter(_) | Ending::StallAfter(_) | Ending::ResetAfter(_) => {}
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let (pieces, chunked) = match reply.body {
        Body::Whole(bytes) => {
            head.push_str(&format!("content-length: {}\r\n\r\n", bytes.len()));
            (vec![(Duration::ZERO, bytes)], false)
        }
        Body::Pieces(pieces) => {
            head.push_str("transfer-encoding: chunked\r\n\r\n");
            (pieces, true)
        }
    };
    let mut left = match reply.ending {
        Ending::CutAfter(n) | Ending::StallAfter(n) | Ending::ResetAfter(n) => n,
        Ending::Complete | Ending::Silence | Ending::Reset => usize::MAX,
    };
    let mut out = head.into_bytes();
    for (pause, piece) in pieces {
        if !pause.is_zero() {
            stream.write_all(&out).await?;
            out.clear();
            if !wait(stream, buffer, pause).await? {
                return Ok(false);
            }
        }
        let part = piece.get(..left.min(piece.len())).unwrap_or_default();
        if chunked && !piece.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        out.extend_from_slice(part);
        left -= part.len();
        if part.len() < piece.len() || (left == 0 && reply.ending != Ending::Complete) {
            stream.write_all(&out).await?;
            return match reply.ending {
                Ending::StallAfter(_) => stall(stream, buffer).await,
                Ending::ResetAfter(_) => reset(stream),
                Ending::Complete | Ending::CutAfter(_) | Ending::Silence | Ending::Reset => Ok(false),
            };
        }
        if chunked && !piece.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }
    if chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    stream.write_all(&out).await?;
    Ok(true)
}

/// Waits, unless the client leaves first; whether it is still there.
async fn wait(stream: &mut TcpStream, buffer: &mut BytesMut, pause: Duration) -> std::io::Result<bool> {
    if pause.is_zero() {
        return Ok(true);
    }
    // tokio's own timers count whole milliseconds: what is measured against a latency of 45 would be 3 % too long.
    let mut over = futures_timer::Delay::new(pause);
    loop {
        tokio::select! {
            () = &mut over => return Ok(true),
            read = stream.read_buf(buffer) => if read? == 0 { return Ok(false) },
        }
    }
}

async fn stall(stream: &mut TcpStream, buffer: &mut BytesMut) -> std::io::Result<bool> {
    while stream.read_buf(buffer).await? > 0 {}
    Ok(false)
}

fn reset(stream: &TcpStream) -> std::io::Result<bool> {
    stream.set_zero_linger()?;
    Ok(false)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
