//! A way to the database that can be cut at a chosen request: before the database has it, right
//! after, or when its answer comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The database never has the request.
    Before,
    /// It has, and nobody waits for the answer.
    Sent,
    /// It has answered, which nobody hears.
    Answered,
}

/// Which requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those that execute the statement of a commit.
    Commits,
}

#[derive(Default)]
struct State {
    all: u64,
    commits: u64,
    cut: Option<(Which, u64, When)>,
    open: Vec<TcpStream>,
}

pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    is_refusing: Arc<AtomicBool>,
}

impl Proxy {
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let is_refusing = Arc::new(AtomicBool::new(false));
        let (shared, refusing) = (Arc::clone(&state), Arc::clone(&is_refusing));
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                if let Ok(server) = TcpStream::connect(("127.0.0.1", target)) {
                    serve(client, server, &shared);
                }
            }
        });
        Self { port, state, is_refusing }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection of the `nth` request from now on.
    pub fn cut(&self, which: Which, nth: u64, when: When) {
        let mut state = self.state.lock().unwrap();
        let count = if which == Which::All { state.all } else { state.commits };
        state.cut = Some((which, count + nth, when));
    }

    /// Requests so far.
    pub fn count(&self, which: Which) -> u64 {
        let state = self.state.lock().unwrap();
        if which == Which::All { state.all } else { state.commits }
    }

    /// Whether the cut that was planned has happened.
    pub fn has_cut(&self) -> bool {
        self.state.lock().unwrap().cut.is_none()
    }

    /// Cuts all connections and takes no new ones until [`Proxy::join`].
    pub fn part(&self) {
        self.is_refusing.store(true, Ordering::SeqCst);
        for stream in self.state.lock().unwrap().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn join(&self) {
        self.is_refusing.store(false, Ordering::SeqCst);
    }
}

fn serve(client: TcpStream, server: TcpStream, state: &Arc<Mutex<State>>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let mut state = state.lock().unwrap();
        state.open.push(client.try_clone().unwrap());
        state.open.push(server.try_clone().unwrap());
    }
    let deaf = Arc::new(AtomicBool::new(false));
    let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_deaf = Arc::clone(&deaf);
    thread::spawn(move || answers(back_from, back_to, &is_deaf));
    let state = Arc::clone(state);
    thread::spawn(move || requests(client, server, &state, &deaf));
}

/// Hands answers on, until one is not to be heard.
fn answers(mut server: TcpStream, mut client: TcpStream, is_deaf: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        if is_deaf.load(Ordering::SeqCst) || client.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

/// Hands requests on, whole, and counts them.
fn requests(mut client: TcpStream, mut server: TcpStream, state: &Mutex<State>, deaf: &AtomicBool) {
    let mut reader = Requests::default();
    let mut buffer = vec![0; 64 * 1024];
    'open: while let Ok(count @ 1..) = client.read(&mut buffer) {
        reader.bytes.extend_from_slice(&buffer[..count]);
        while let Some((request, is_commit)) = reader.next() {
            let when = count_request(&mut state.lock().unwrap(), is_commit);
            if when == Some(When::Before) {
                break 'open;
            }
            if when == Some(When::Answered) {
                deaf.store(true, Ordering::SeqCst);
            }
            if server.write_all(&request).is_err() || when == Some(When::Sent) {
                break 'open;
            }
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    // What was sent is on its way; the end follows it.
    let _ = server.shutdown(Shutdown::Write);
}

fn count_request(state: &mut State, is_commit: bool) -> Option<When> {
    state.all += 1;
    state.commits += u64::from(is_commit);
    let (which, nth, when) = state.cut?;
    let is_it = match which {
        Which::All => state.all == nth,
        Which::Commits => is_commit && state.commits == nth,
    };
    if is_it {
        state.cut = None;
    }
    is_it.then_some(when)
}

/// Cuts what a client sends into requests: messages up to the one that asks for an answer.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    has_started: bool,
    /// The name of the prepared statement of a commit.
    commit: Option<Vec<u8>>,
}

impl Requests {
    fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        let (mut at, mut is_commit) = (0, false);
        loop {
            let kind = if self.has_started { *self.bytes.get(at)? } else { b'Q' };
            let head = at + usize::from(self.has_started);
            let length = u32::from_be_bytes(self.bytes.get(head..head + 4)?.try_into().unwrap());
            let end = head + length as usize;
            let body = self.bytes.get(head + 4..end)?;
            match kind {
                b'P' => {
                    let (name, rest) = zero_ended(body);
                    if zero_ended(rest).0.windows(9).any(|part| part == b"WITH slot") {
                        self.commit = Some(name.to_vec());
                    }
                }
                b'B' => {
                    let (_portal, rest) = zero_ended(body);
                    is_commit |= self.commit.as_deref() == Some(zero_ended(rest).0);
                }
                _ => {}
            }
            at = end;
            // Sync, Query, and the first message of all.
            if matches!(kind, b'S' | b'Q' | b'X') {
                self.has_started = true;
                return Some((self.bytes.drain(..at).collect(), is_commit));
            }
        }
    }
}

fn zero_ended(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
