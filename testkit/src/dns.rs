//! A name server for tests: zones from text, signed if they shall be, and answers that are broken
//! on purpose.
//!
//! It answers for its zones as a resolver would: whoever asks it follows every chain, from a root
//! of its own downwards. It listens on loopback, in a thread of its own, at one port of UDP and
//! TCP.

mod fault;
mod zone;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use futures_util::StreamExt;
use hickory_server::net::BufDnsStreamHandle;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::Message;
use hickory_server::server::{Request, RequestHandler, ResponseHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;

pub use fault::Fault;
pub use zone::Zone;

/// A name server. Dropping it ends it.
pub struct NameServer {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    zones: RwLock<zone::Served>,
    faults: Mutex<fault::Faults>,
    log: Mutex<Vec<(String, String)>>,
}

impl NameServer {
    /// Starts a server with these zones at a free port.
    ///
    /// # Panics
    /// When no server can be started, or a zone cannot be signed.
    #[must_use]
    pub fn start(zones: &[Zone]) -> Self {
        Self::start_at(zones, 0)
    }

    /// Starts a server with these zones at `port`; 0 takes any.
    ///
    /// # Panics
    /// When no server can be started, or a zone cannot be signed.
    #[must_use]
    pub fn start_at(zones: &[Zone], port: u16) -> Self {
        Self::try_start(zones, port).unwrap_or_else(|error| panic!("no name server: {error}"))
    }

    fn try_start(zones: &[Zone], port: u16) -> io::Result<Self> {
        let state = Arc::new(State {
            zones: RwLock::new(zone::Served::new(zones)),
            faults: Mutex::default(),
            log: Mutex::default(),
        });
        let (udp, tcp) = bind(port)?;
        let address = udp.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = state.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = serve(udp, tcp, serving) => {
                        if let Err(error) = served {
                            eprintln!("the name server ended: {error}");
                        }
                    }
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key of its root, as a line of a zone.
    #[must_use]
    pub fn trust_anchor(&self) -> String {
        read(&self.state.zones).trust_anchor()
    }

    /// Adds a zone, or puts it in the place of the one with its name; its key stays.
    pub fn replace(&self, zone: Zone) {
        let mut zones = self.state.zones.write().unwrap_or_else(PoisonError::into_inner);
        zones.replace(zone);
    }

    /// From now on, breaks answers to questions for `name`, of every kind.
    pub fn break_answers(&self, name: &str, fault: Fault) {
        lock(&self.state.faults).insert(name, fault);
    }

    /// From now on, answers for `name` as its zone says.
    pub fn mend_answers(&self, name: &str) {
        lock(&self.state.faults).remove(name);
    }

    /// From now on, leaves everything out of answers that belongs to signatures, as an old
    /// forwarder does.
    pub fn strip_signatures(&self) {
        lock(&self.state.faults).strip();
    }

    /// What has been asked: names without the last dot, and kinds of records, in order.
    #[must_use]
    pub fn questions(&self) -> Vec<(String, String)> {
        lock(&self.state.log).clone()
    }

    /// How often this has been asked.
    #[must_use]
    pub fn asked(&self, name: &str, kind: &str) -> usize {
        let log = lock(&self.state.log);
        log.iter().filter(|(asked, of)| asked == name && of == kind).count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ended = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// A port that is free for both.
fn bind(port: u16) -> io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    let mut last = io::Error::other("no port was tried");
    for _ in 0..PORTS_TRIED {
        let udp = std::net::UdpSocket::bind((LOOPBACK, port))?;
        match std::net::TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => {
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn serve(
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
    state: Arc<State>,
) -> io::Result<()> {
    let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        tokio::select! {
            received = udp.recv_from(&mut buffer) => {
                // The system reports answers that nobody waited for here.
                let Ok((length, from)) = received else { continue };
                let question = buffer.get(..length).unwrap_or_default();
                if let Some(answer) = answer(&state, question, from, Protocol::Udp).await {
                    // Who has gone needs no answer.
                    let _gone = udp.send_to(&answer, from).await;
                }
            }
            accepted = tcp.accept() => {
                let (stream, from) = accepted?;
                tokio::spawn(converse(stream, from, state.clone()));
            }
        }
    }
}

/// RFC 1035 §4.2.2
async fn converse(mut stream: TcpStream, from: SocketAddr, state: Arc<State>) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        if let Some(answer) = answer(&state, &question, from, Protocol::Tcp).await {
            stream.write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX)).await?;
            stream.write_all(&answer).await?;
        }
    }
}

async fn answer(
    state: &State,
    question: &[u8],
    from: SocketAddr,
    protocol: Protocol,
) -> Option<Vec<u8>> {
    let request = Request::from_bytes(question.to_vec(), from, protocol).ok()?;
    let (name, kind) = {
        let query = request.request_info().ok()?.query.original().clone();
        (query.name().to_lowercase(), query.query_type())
    };
    let text = name.to_ascii();
    let asked = (text.trim_end_matches('.').to_owned(), kind.to_string());
    lock(&state.log).push(asked);
    let catalog = read(&state.zones).catalog(&name, kind);
    // Whole, whatever the way that it takes then: it is cut below.
    let (handle, mut written) = BufDnsStreamHandle::new(from);
    let handle = ResponseHandle::new(from, handle, Protocol::Tcp);
    catalog.handle_request::<_, TokioTime>(&request, handle).await;
    let mut message = Message::from_vec(written.next().await?.bytes()).ok()?;
    message.metadata.recursion_available = true;
    let payload = match protocol {
        Protocol::Udp => request.edns.as_ref().map_or(UDP_MIN, |edns| edns.max_payload()),
        _ => u16::MAX,
    };
    let faults = lock(&state.faults);
    faults.apply(&name, message, usize::from(payload))
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Another process may have the port for TCP.
const PORTS_TRIED: usize = 20;

/// What everyone takes over UDP, RFC 1035 §4.2.1.
const UDP_MIN: u16 = 512;
