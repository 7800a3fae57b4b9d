//! Servers over pipes into a service over the memory engine.

use std::sync::Arc;
use std::time::Duration;

use mail_service::{PasswordCost, Service, ServiceConfig, World};
use mail_types::{MailboxName, Secret};
use net::{LoginThrottle, Peer, Service as _, Shutdown, Stream};
use smtp::{Inbound, Outbound, Role, SmtpServer, SmtpSettings};
use store::Store;
use store::mem::Mem;

pub struct Harness {
    pub service: Service,
    pub server: Arc<SmtpServer>,
    pub shutdown: Shutdown,
    /// From where clients come.
    pub peer: Peer,
    role: Role,
}

impl Harness {
    pub async fn new(message_bytes_max: u64) -> Self {
        Self::on(Arc::new(Mem::new()), message_bytes_max).await
    }

    pub async fn on(store: Arc<dyn Store>, message_bytes_max: u64) -> Self {
        Self::with(store, message_bytes_max, Role::Lmtp, None).await
    }

    pub async fn of(role: Role) -> Self {
        Self::with(Arc::new(Mem::new()), 1 << 20, role, None).await
    }

    pub async fn with(
        store: Arc<dyn Store>,
        message_bytes_max: u64,
        role: Role,
        outbound: Option<Arc<dyn Outbound>>,
    ) -> Self {
        Self::set(store, message_bytes_max, role, |settings| settings.outbound = outbound).await
    }

    /// A server for mail from anywhere, whose clients are strangers.
    pub async fn inbound(inbound: Inbound) -> Self {
        let inbound = Some(Arc::new(inbound));
        let store = Arc::new(Mem::new());
        let mut harness =
            Self::set(store, 4 << 20, Role::Mx, |settings| settings.inbound = inbound).await;
        harness.peer = Peer::Ip([192, 0, 2, 7].into());
        harness
    }

    pub async fn set(
        store: Arc<dyn Store>,
        message_bytes_max: u64,
        role: Role,
        set: impl FnOnce(&mut SmtpSettings),
    ) -> Self {
        let config = ServiceConfig { message_bytes_max, ..ServiceConfig::default() };
        Self::with_config(store, config, role, set).await
    }

    pub async fn with_config(
        store: Arc<dyn Store>,
        config: ServiceConfig,
        role: Role,
        set: impl FnOnce(&mut SmtpSettings),
    ) -> Self {
        let passwords = PasswordCost { memory_kib: 8, iterations: 1, ..PasswordCost::default() };
        let config =
            ServiceConfig { passwords, domains: vec!["pillarbox.example".to_owned()], ..config };
        let service = Service::open(store, config, World::system()).await.unwrap();
        for name in ["home", "work"] {
            service.create_account(name, Secret::new("low-tide")).await.unwrap();
        }
        let hostname = "mail.pillarbox.example".to_owned();
        let mut settings = SmtpSettings::new(role, hostname, None);
        set(&mut settings);
        let throttle = Arc::new(LoginThrottle::default());
        let server = Arc::new(SmtpServer::new(service.clone(), throttle, settings));
        Self { service, server, shutdown: Shutdown::default(), peer: Peer::Local, role }
    }

    /// A client that has not been greeted.
    pub fn dial(&self) -> Client {
        let (ours, theirs) = Stream::pair(64 * 1024);
        let (server, guard) = (Arc::clone(&self.server), self.shutdown.token());
        let peer = self.peer;
        tokio::spawn(async move { server.serve(theirs, peer, guard).await });
        Client { stream: ours, unread: Vec::new() }
    }

    pub async fn connect(&self) -> Client {
        let mut client = self.dial();
        client.reply().await;
        let is_lmtp = self.role == Role::Lmtp;
        client.say(if is_lmtp { "LHLO mx.example.net" } else { "EHLO mx.example.net" }).await;
        client
    }

    /// All messages of a mailbox.
    pub async fn messages(&self, account: &str, mailbox: &str) -> Vec<String> {
        let id = self.service.find_account(account).await.unwrap().unwrap().id;
        let handle = self.service.account(id).await.unwrap();
        let name = MailboxName::new(mailbox).unwrap();
        let Some(id) = handle.current().by_name(&name).map(|found| found.record().id) else {
            return Vec::new();
        };
        let (state, _pin) = handle.load(id).await.unwrap();
        let contents = state.mailbox(id).unwrap().contents().unwrap();
        let parts = contents.iter().map(|entry| (entry.message(), 0..u64::MAX)).collect();
        let read = handle.read(parts).await.unwrap();
        read.into_iter().map(|bytes| String::from_utf8(bytes.unwrap()).unwrap()).collect()
    }
}

pub struct Client {
    pub stream: Stream,
    unread: Vec<u8>,
}

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes(), Duration::from_secs(5)).await.unwrap();
    }

    /// The next reply, its last line.
    pub async fn reply(&mut self) -> String {
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                let line = String::from_utf8(line).unwrap();
                if line.as_bytes()[3] == b' ' {
                    return line.trim_end().to_owned();
                }
            }
            let count = self.stream.read_into(&mut self.unread, 4096).await.unwrap();
            assert!(count > 0, "closed");
        }
    }

    /// Whether the server has closed, after whatever it still says.
    pub async fn is_closed(&mut self) -> bool {
        let reading =
            async { while self.stream.read_into(&mut self.unread, 4096).await.unwrap_or(0) > 0 {} };
        tokio::time::timeout(Duration::from_secs(5), reading).await.is_ok()
    }

    /// The next reply, or `None` if the server closes without one.
    pub async fn reply_or_end(&mut self) -> Option<String> {
        while !self.unread.ends_with(b"\r\n") {
            if self.stream.read_into(&mut self.unread, 4096).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(self.reply().await)
    }

    /// The whole reply to a line.
    pub async fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        let mut whole = String::new();
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                whole.push_str(std::str::from_utf8(&line).unwrap());
                if line[3] == b' ' {
                    return whole;
                }
            }
            assert!(self.stream.read_into(&mut self.unread, 4096).await.unwrap() > 0, "closed");
        }
    }

    pub async fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.reply().await
    }
}

/// Brings a message; what the first recipient who is refused is answered, or its text.
pub async fn bring(
    client: &mut Client,
    sender: &str,
    recipients: &[&str],
    message: &str,
) -> String {
    assert!(client.say(&format!("MAIL FROM:<{sender}>")).await.starts_with("250"));
    for recipient in recipients {
        let reply = client.say(&format!("RCPT TO:<{recipient}>")).await;
        if !reply.starts_with("250") {
            client.say("RSET").await;
            return reply;
        }
    }
    assert!(client.say("DATA").await.starts_with("354"));
    client.send(&format!("{message}.\r\n")).await;
    client.reply().await
}
