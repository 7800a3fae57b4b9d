//! A proxy that fails on demand: between the heap and a store it speaks HTTP/1.1, one request for
//! each connection, and can do everything that a bad network or a bad store would.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status; the store never sees it.
    Status(u16),
    /// Never answered; the store never sees it.
    SilentBefore,
    /// Never answered, but the store has done it.
    SilentAfter,
    /// The connection is reset; the store never sees the request.
    ResetBefore,
    /// The connection is reset, but the store has done it.
    ResetAfter,
    /// The connection ends after half of the answer's body.
    Truncate,
    /// Half of the body comes in good order, as if it were all of it.
    Shorten,
    /// More bytes come than the answer is about.
    Lengthen,
    /// Some bytes of the body are others.
    Garble,
    /// Half of the body comes, then nothing more.
    StallInBody,
}

impl Fault {
    /// Whether the request never gets to the store.
    fn is_before(self) -> bool {
        matches!(self, Self::Status(_) | Self::SilentBefore | Self::ResetBefore)
    }
}

/// A request, as the proxy sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The status that was passed on to the client in full, if any was.
    pub answered: Option<u16>,
}

/// Requests that a fault happens to.
pub type Choice = fn(&Seen) -> bool;

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: SocketAddr,
    plan: Mutex<Vec<Planned>>,
    seen: Mutex<Vec<Seen>>,
    inside: AtomicUsize,
    inside_max: AtomicUsize,
    stopped: Mutex<bool>,
    stop: Condvar,
}

struct Planned {
    choice: Choice,
    fault: Fault,
    times: usize,
}

impl Proxy {
    pub fn start(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            store,
            plan: Mutex::default(),
            seen: Mutex::default(),
            inside: AtomicUsize::new(0),
            inside_max: AtomicUsize::new(0),
            stopped: Mutex::new(false),
            stop: Condvar::new(),
        });
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || state.accept(&listener));
        Self { address, shared, thread: Some(thread) }
    }

    /// The next `times` requests that are chosen meet with `fault`; after those that were planned
    /// before.
    pub fn plan(&self, choice: Choice, fault: Fault, times: usize) {
        self.shared.plan.lock().unwrap().push(Planned { choice, fault, times });
    }

    /// All is well from now on.
    pub fn heal(&self) {
        self.shared.plan.lock().unwrap().clear();
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Most requests that were inside at one time.
    pub fn inside_max(&self) -> usize {
        self.shared.inside_max.load(Ordering::SeqCst)
    }

    /// Requests that are inside now.
    pub fn inside(&self) -> usize {
        self.shared.inside.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *self.shared.stopped.lock().unwrap() = true;
        self.shared.stop.notify_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if *self.stopped.lock().unwrap() {
                return;
            }
            let Ok(client) = client else { continue };
            let state = Arc::clone(self);
            std::thread::spawn(move || {
                // A client that gave up is what many tests are about.
                let _ = state.carry(client);
            });
        }
    }

    /// One request and its answer.
    fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        let Some(request) = Message::read_request(&mut client)? else { return Ok(()) };
        let now = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.inside_max.fetch_max(now, Ordering::SeqCst);
        let index = self.note(&request);
        let done = self.answer(client, &request, index);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        done
    }

    fn note(&self, request: &Message) -> usize {
        let mut words = request.head.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let mut seen = self.seen.lock().unwrap();
        seen.push(Seen { method: word(), target: word(), answered: None });
        seen.len() - 1
    }

    fn answer(&self, client: TcpStream, request: &Message, index: usize) -> io::Result<()> {
        let fault = self.choose(index);
        let answer = match fault {
            Some(fault) if fault.is_before() => None,
            _ => Some(request.forward(self.store)?),
        };
        match (fault, answer) {
            (Some(Fault::Status(status)), _) => self.pass(client, refusal(status), index),
            (Some(Fault::SilentBefore | Fault::SilentAfter), _) => self.hold(&client),
            (Some(Fault::ResetBefore | Fault::ResetAfter), _) => reset(&client),
            (Some(Fault::Truncate), Some(answer)) => cut(client, &answer),
            (Some(Fault::StallInBody), Some(answer)) => {
                let mut client = client;
                client.write_all(answer.head.as_bytes())?;
                client.write_all(&answer.body[..answer.body.len() / 2])?;
                self.hold(&client)
            }
            (Some(Fault::Shorten), Some(mut answer)) => {
                answer.body.truncate(answer.body.len() / 2);
                self.pass(client, answer.with_length(), index)
            }
            (Some(Fault::Lengthen), Some(mut answer)) => {
                answer.body.extend_from_slice(&[b'x'; 100]);
                self.pass(client, answer.with_length(), index)
            }
            (Some(Fault::Garble), Some(mut answer)) => {
                answer.body.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x20);
                self.pass(client, answer, index)
            }
            (_, Some(answer)) => self.pass(client, answer, index),
            (_, None) => Ok(()),
        }
    }

    fn choose(&self, index: usize) -> Option<Fault> {
        let seen = self.seen.lock().unwrap()[index].clone();
        let mut plan = self.plan.lock().unwrap();
        let planned = plan.iter_mut().find(|it| it.times > 0 && (it.choice)(&seen))?;
        planned.times -= 1;
        Some(planned.fault)
    }

    /// Notes the answer before it goes out: whoever has read it must find it noted.
    fn pass(&self, mut client: TcpStream, answer: Message, index: usize) -> io::Result<()> {
        self.seen.lock().unwrap()[index].answered = answer.status();
        client.write_all(answer.head.as_bytes())?;
        client.write_all(&answer.body)?;
        client.shutdown(Shutdown::Write)
    }

    /// Says nothing until the client goes away, a minute is over, or the test is.
    fn hold(&self, client: &TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_millis(20)))?;
        for _ in 0..3_000 {
            if *self.stopped.lock().unwrap() {
                break;
            }
            match (&*client).read(&mut [0; 1]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            }
        }
        Ok(())
    }
}

/// An HTTP/1.1 message in memory: the head with its empty line, and the body as it came.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// `None` when the client closed without a request.
    fn read_request(client: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(&buffer[..count]);
            let Some(message) = Self::split(&bytes) else { continue };
            let length = message.field("content-length").map_or(0, |value| value.parse().unwrap());
            if message.body.len() >= length {
                return Ok(Some(message));
            }
            // A body of megabytes is not searched for its head again and again.
            let mut message = message;
            let have = message.body.len();
            message.body.resize(length, 0);
            client.read_exact(&mut message.body[have..])?;
            return Ok(Some(message));
        }
    }

    fn split(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some(Self { head, body: bytes[end..].to_vec() })
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn without(&self, name: &str) -> String {
        let prefix = format!("{name}:");
        let kept = self.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with(&prefix));
        kept.filter(|line| !line.is_empty()).flat_map(|line| [line, "\r\n"]).collect()
    }

    /// Asks the store, over a connection of its own.
    fn forward(&self, store: SocketAddr) -> io::Result<Self> {
        let mut store = TcpStream::connect(store)?;
        let head = format!("{}connection: close\r\n\r\n", self.without("connection"));
        store.write_all(head.as_bytes())?;
        store.write_all(&self.body)?;
        let mut bytes = Vec::new();
        store.read_to_end(&mut bytes)?;
        Self::split(&bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn status(&self) -> Option<u16> {
        self.head.split(' ').nth(1)?.parse().ok()
    }

    /// With a head that tells the length that the body has now.
    fn with_length(self) -> Self {
        let head = self.without("content-length");
        Self { head: format!("{head}content-length: {}\r\n\r\n", self.body.len()), ..self }
    }
}

fn refusal(status: u16) -> Message {
    let code = match status {
        404 => "NoSuchKey",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>").into_bytes();
    let head = format!("HTTP/1.1 {status} Fault\r\nconnection: close\r\n\r\n");
    Message { head, body }.with_length()
}

/// Ends the connection in the middle of the body.
fn cut(mut client: TcpStream, answer: &Message) -> io::Result<()> {
    client.write_all(answer.head.as_bytes())?;
    client.write_all(&answer.body[..answer.body.len() / 2])?;
    client.shutdown(Shutdown::Write)
}

/// A connection that is closed without lingering answers with RST.
fn reset(client: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(client).set_linger(Some(Duration::ZERO))
}
