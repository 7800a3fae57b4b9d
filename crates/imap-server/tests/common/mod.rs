//! A real server in memory: the connection loop over pipes, the service over the memory engine.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use imap_server::{FailedLogin, ImapServer, ImapSettings, Patience};
use mail_service::{
    Mechanism, PasswordCost, Service, ServiceConfig, ServiceError, Sharing, TokenError, TokenFault,
    TokenHolder, TokenVerifier, Verifying, World,
};
use mail_types::Secret;
use net::{LoginThrottle, Peer, Service as _, Shutdown, Stream};
use store::Store;
use store::mem::Mem;
use testkit::pure::{TOKEN, TOKEN_REFUSAL, TOKEN_USER};
use testkit::script::{self, Received};
use tokio::runtime::Runtime;

pub const USER: &str = "home@pillarbox.example";
pub const PASSWORD: &str = "low-tide";

pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// A service with one account on a new store.
pub async fn service() -> Service {
    let service = service_on(Arc::new(Mem::new()), Sharing::Exclusive).await;
    service.create_account(USER, Secret::new(PASSWORD)).await.unwrap();
    service
}

/// A provider with one good token.
#[derive(Debug)]
pub struct OneToken;

impl TokenVerifier for OneToken {
    fn verify<'a>(&'a self, token: &'a Secret) -> Verifying<'a> {
        let answer = match token.expose() {
            good if good == TOKEN.as_bytes() => {
                Ok(TokenHolder { names: vec![TOKEN_USER.to_owned()] })
            }
            b"away" => Err(TokenError::Unavailable),
            _ => Err(TokenError::Refused(TokenFault::Token)),
        };
        Box::pin(std::future::ready(answer))
    }

    fn is_host(&self, name: &str) -> bool {
        name == "server.example.com"
    }

    fn refusal(&self, _: Mechanism, why: TokenFault) -> Vec<u8> {
        match why {
            TokenFault::Token => TOKEN_REFUSAL.as_bytes().to_vec(),
            other => format!("{other:?}").into_bytes(),
        }
    }
}

/// A service on this store, without accounts.
pub async fn service_on(store: Arc<dyn Store>, sharing: Sharing) -> Service {
    service_with(store, sharing, None).await
}

/// A service that takes tokens if somebody verifies them.
pub async fn service_with(
    store: Arc<dyn Store>,
    sharing: Sharing,
    tokens: Option<Arc<dyn TokenVerifier>>,
) -> Service {
    let passwords = PasswordCost {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
        scram_iterations: 4096,
        concurrent_max: 0,
    };
    let config = ServiceConfig { passwords, sharing, tokens, ..ServiceConfig::default() };
    Service::open(store, config, World::system()).await.unwrap()
}

/// Settings under which failed logins are answered at once.
pub fn settings() -> ImapSettings {
    let patience = Patience { failed_login: FailedLogin::AtOnce, ..Patience::default() };
    let shared_accounts = [script::SHARED_ACCOUNT.to_owned()].into();
    ImapSettings { patience, shared_accounts, ..ImapSettings::default() }
}

/// A server that connections can be opened to.
pub struct Live {
    pub server: Arc<ImapServer>,
    pub shutdown: Arc<Shutdown>,
    pub service: Service,
}

impl Live {
    pub async fn new(settings: ImapSettings) -> Self {
        Self::of(service().await, settings)
    }

    /// Servers as of several processes on one store, with one account.
    pub async fn nodes(count: usize, settings: ImapSettings) -> Vec<Self> {
        let store = Mem::new();
        let mut nodes = Vec::new();
        for _ in 0..count {
            let service = service_on(Arc::new(store.clone()), Sharing::Shared).await;
            nodes.push(Self::of(service, settings.clone()));
        }
        let created = nodes[0].service.create_account(USER, Secret::new(PASSWORD)).await;
        created.unwrap();
        nodes
    }

    /// Servers that take a token, on one store with the account that it is for.
    pub async fn nodes_with_tokens(count: usize, settings: ImapSettings) -> Vec<Self> {
        let store = Mem::new();
        let mut nodes = Vec::new();
        for _ in 0..count {
            let store = Arc::new(store.clone());
            let service = service_with(store, Sharing::Shared, Some(Arc::new(OneToken))).await;
            nodes.push(Self::of(service, settings.clone()));
        }
        for name in [USER, TOKEN_USER] {
            nodes[0].service.create_account(name, Secret::new(PASSWORD)).await.unwrap();
        }
        nodes
    }

    /// A server for this service.
    pub fn of(service: Service, settings: ImapSettings) -> Self {
        let throttle = Arc::new(LoginThrottle::default());
        let server = Arc::new(ImapServer::new(service.clone(), throttle, settings));
        Self { server, shutdown: Arc::default(), service }
    }

    /// The client's end of a new connection.
    pub fn connect(&self) -> Client {
        self.connect_from(Peer::Local)
    }

    pub fn connect_from(&self, peer: Peer) -> Client {
        let (ours, theirs) = Stream::pair(256 * 1024);
        let (server, guard) = (Arc::clone(&self.server), self.shutdown.token());
        tokio::spawn(async move { server.serve(theirs, peer, guard).await });
        Client { stream: ours, unread: Vec::new() }
    }

    /// A connection that has logged in.
    pub async fn login(&self) -> Client {
        let mut client = self.connect();
        client.line().await;
        client.run(&format!("l LOGIN {USER} {PASSWORD}")).await;
        client
    }
}

/// The client's end of a connection.
pub struct Client {
    pub stream: Stream,
    unread: Vec<u8>,
}

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that has closed does not read; the test sees that when it reads.
        let _ = self.stream.write_all(bytes.as_ref(), Duration::from_secs(20)).await;
    }

    /// The next line without its CRLF; `None` at the end of the stream.
    pub async fn try_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.unread.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.truncate(end);
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            let read = self.stream.read_into(&mut self.unread, 16 * 1024);
            match tokio::time::timeout(Duration::from_secs(90), read).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return None,
                Err(_) => panic!("nothing came; unread: {:?}", self.unread.escape_ascii()),
            }
        }
    }

    pub async fn line(&mut self) -> String {
        self.try_line().await.expect("the server closed the connection")
    }

    /// Lines up to the tagged one of this tag, which is the last.
    pub async fn until(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let ends = line.split(' ').next() == Some(tag);
            lines.push(line);
            if ends {
                return lines;
            }
        }
    }

    /// Sends a command and returns its reply, which must be OK.
    pub async fn run(&mut self, command: &str) -> Vec<String> {
        self.send(format!("{command}\r\n")).await;
        let tag = command.split(' ').next().unwrap();
        let lines = self.until(tag).await;
        let last = lines.last().unwrap();
        assert!(last.starts_with(&format!("{tag} OK")), "{command}: {lines:?}");
        lines
    }

    /// Lines up to the tagged one of this tag, or to the end of the stream.
    pub async fn rest_or(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.try_line().await {
            let ends = line.split(' ').next() == Some(tag);
            lines.push(line);
            if ends {
                break;
            }
        }
        lines
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.try_line().await {
            lines.push(line);
        }
        lines
    }
}

/// Live servers for the scripts of the testkit: each connection goes to the next of them.
pub struct ScriptPeer {
    lives: Vec<Live>,
    clients: HashMap<usize, Client>,
    /// Connections whose compression ends with the next reply.
    ending: HashSet<usize>,
    /// Who sent last: its reply is waited for longer than the news of others.
    sender: usize,
    /// Whether something came since then.
    heard: bool,
}

impl ScriptPeer {
    pub fn new() -> Self {
        Self::with(settings())
    }

    /// A server with these settings.
    pub fn with(settings: ImapSettings) -> Self {
        Self::of(vec![RUNTIME.block_on(Live::new(settings))])
    }

    /// Three nodes on one store.
    pub fn of_three_nodes(settings: ImapSettings) -> Self {
        Self::of(RUNTIME.block_on(Live::nodes(3, settings)))
    }

    /// Nodes that take a token.
    pub fn with_tokens(count: usize, settings: ImapSettings) -> Self {
        Self::of(RUNTIME.block_on(Live::nodes_with_tokens(count, settings)))
    }

    fn of(lives: Vec<Live>) -> Self {
        Self { lives, clients: HashMap::new(), ending: HashSet::new(), sender: 0, heard: false }
    }
}

impl script::Peer for ScriptPeer {
    fn connect(&mut self, connection: usize) {
        let _context = RUNTIME.enter();
        let live = &self.lives[connection % self.lives.len()];
        self.clients.insert(connection, live.connect());
        self.sender = connection;
        self.heard = false;
    }

    fn send(&mut self, connection: usize, bytes: &[u8]) {
        let client = self.clients.get_mut(&connection).expect("connected");
        RUNTIME.block_on(client.send(bytes));
        if bytes.ends_with(b" UNAUTHENTICATE\r\n") && client.stream.is_compressed() {
            self.ending.insert(connection);
        }
        self.sender = connection;
        self.heard = false;
    }

    fn receive(&mut self, connection: usize) -> Received {
        let client = self.clients.get_mut(&connection).expect("connected");
        let patience = match (connection == self.sender, self.heard) {
            (true, _) => Duration::from_secs(5),
            (false, false) => Duration::from_secs(1),
            (false, true) => Duration::from_millis(200),
        };
        let mut bytes = Vec::new();
        let read = client.stream.read_into(&mut bytes, 16 * 1024);
        match RUNTIME.block_on(async { tokio::time::timeout(patience, read).await }) {
            Err(_) => Received::Quiet,
            Ok(Ok(1..)) => {
                self.heard = true;
                // The client's own end of the layer. RFC 4978 §3, RFC 8437 §4.1
                if bytes.ends_with(b" OK DEFLATE active\r\n") {
                    client.stream.start_deflate(Vec::new());
                }
                if self.ending.remove(&connection) {
                    client.stream.stop_deflate();
                }
                Received::Bytes(bytes)
            }
            Ok(_) => Received::Closed,
        }
    }

    fn credentials(&self) -> (String, String) {
        (USER.to_owned(), PASSWORD.to_owned())
    }

    fn make_account(&mut self, name: &str) {
        let service = &self.lives[0].service;
        let made = RUNTIME.block_on(service.create_account(name, Secret::new(PASSWORD)));
        match made {
            Ok(_) | Err(ServiceError::AccountExists) => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
