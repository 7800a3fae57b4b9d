//! A small server that takes mail, or refuses it, or breaks off where a test wants it to.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use net::{CertificateFiles, HANDSHAKE_PATIENCE, Stream, Tls, TlsServer};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::authority::Certificate;

const PATIENCE: Duration = Duration::from_secs(10);

/// How a sink behaves.
#[derive(Clone, Default)]
pub struct Manners {
    /// Keywords of the reply to EHLO.
    pub offers: Vec<&'static str>,
    /// The connection is closed instead of the reply to a command that begins so: `greeting` and
    /// `.` are the first and the last, `text` is in the middle of the text, `handshake` is before
    /// that of TLS.
    pub breaks_at: Option<&'static str>,
    /// So often; then it behaves.
    pub breaks: usize,
    /// A command that begins so is never answered.
    pub silent_at: Option<&'static str>,
    /// What is replied to a command that begins so, instead of what says yes.
    pub replies: Vec<(&'static str, &'static str)>,
    /// Whether TLS is spoken from the first octet on.
    pub is_implicit: bool,
    /// Where it listens instead of 127.0.0.1.
    pub address: Option<&'static str>,
    /// Its port; 0 is any.
    pub port: u16,
    /// Its certificate instead of one that it made itself for `localhost`.
    pub certificate: Option<Certificate>,
    /// It closes after a message, as if it had waited for too long.
    pub leaves: bool,
}

/// One message that was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    pub mail: String,
    pub to: Vec<String>,
    /// As it was sent, with its dots.
    pub text: String,
    pub is_tls: bool,
    pub login: String,
}

pub struct Sink {
    pub port: u16,
    pub certificate: Vec<u8>,
    taken: Arc<Mutex<Vec<Taken>>>,
    said: Arc<Mutex<Vec<String>>>,
    heard: Arc<Notify>,
}

impl Sink {
    pub async fn new(manners: Manners) -> Self {
        let address = manners.address.unwrap_or("127.0.0.1");
        let listener = TcpListener::bind((address, manners.port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let files = match &manners.certificate {
            Some(certificate) => certificate.write(folder.path()),
            None => CertificateFiles::self_signed(folder.path(), "localhost").unwrap(),
        };
        let certificate = std::fs::read(&files.certificate).unwrap();
        let tls = Tls::new(&files).unwrap().server("smtp").unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::new(Notify::new());
        let (lines, bell) = (Arc::clone(&said), Arc::clone(&heard));
        let (all, breaks) = (Arc::clone(&taken), Arc::new(Mutex::new(manners.breaks)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (manners, tls) = (manners.clone(), tls.clone());
                let (taken, breaks) = (Arc::clone(&all), Arc::clone(&breaks));
                let (input, message, said) = (Vec::new(), Taken::default(), Arc::clone(&lines));
                let bell = Arc::clone(&bell);
                let mut talk = Talk { manners, taken, said, bell, breaks, message, input };
                tokio::spawn(async move { talk.run(stream.into(), tls).await });
            }
        });
        Self { port, certificate, taken, said, heard }
    }

    /// What clients said, line by line; `connected` for each connection.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits for a line.
    pub async fn until(&self, is_it: impl Fn(&str) -> bool) {
        let waiting = async {
            loop {
                let heard = self.heard.notified();
                if self.said().iter().any(|line| is_it(line)) {
                    return;
                }
                heard.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
    }

    pub fn connections(&self) -> usize {
        self.said().iter().filter(|line| *line == "connected").count()
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

struct Talk {
    manners: Manners,
    taken: Arc<Mutex<Vec<Taken>>>,
    said: Arc<Mutex<Vec<String>>>,
    bell: Arc<Notify>,
    breaks: Arc<Mutex<usize>>,
    message: Taken,
    input: Vec<u8>,
}

impl Talk {
    /// An error ends it, whether it was wanted or not.
    async fn run(&mut self, mut stream: Stream, tls: TlsServer) -> io::Result<()> {
        self.said.lock().unwrap().push("connected".to_owned());
        if self.manners.is_implicit {
            stream = stream.start_tls(Vec::new(), &tls, HANDSHAKE_PATIENCE).await?;
            self.message.is_tls = true;
        }
        self.answer(&mut stream, "greeting", "220 sink").await?;
        loop {
            let line = self.line(&mut stream).await?;
            self.said.lock().unwrap().push(line.clone());
            self.bell.notify_waiters();
            let offers: Vec<String> =
                self.manners.offers.iter().map(|it| format!("250-{it}\r\n")).collect();
            let yes = match line.split(' ').next().unwrap() {
                "EHLO" => format!("250-sink\r\n{}250 HELP", offers.concat()),
                "STARTTLS" => "220 go".to_owned(),
                "AUTH" => "235 yes".to_owned(),
                "DATA" => "354 go".to_owned(),
                _ => "250 yes".to_owned(),
            };
            let reply = self.answer(&mut stream, &line, &yes).await?;
            match line.split(' ').next().unwrap() {
                "STARTTLS" if reply.starts_with("220") => {
                    let early = std::mem::take(&mut self.input);
                    assert!(early.is_empty(), "sent behind STARTTLS");
                    self.break_at("handshake")?;
                    stream = stream.start_tls(early, &tls, HANDSHAKE_PATIENCE).await?;
                    self.message.is_tls = true;
                }
                "AUTH" => self.message.login = line,
                "MAIL" => self.message.mail = line,
                "RCPT" if reply.starts_with("250") => self.message.to.push(line),
                "DATA" if reply.starts_with("354") => {
                    self.text(&mut stream).await?;
                    if self.manners.leaves {
                        return Ok(());
                    }
                }
                "QUIT" => return Ok(()),
                _ => {}
            }
        }
    }

    async fn text(&mut self, stream: &mut Stream) -> io::Result<()> {
        let mut text = String::new();
        loop {
            let line = self.line(stream).await?;
            if line == "." {
                break;
            }
            self.break_at("text")?;
            text.push_str(&line);
            text.push_str("\r\n");
        }
        // What was taken and not answered counts as taken: the client cannot know.
        let message = Taken { text, ..self.message.clone() };
        let refusal = self.manners.replies.iter().any(|(at, _)| *at == ".");
        // A text for nobody, behind commands that were sent together.
        if !refusal && !message.to.is_empty() {
            self.taken.lock().unwrap().push(message);
        }
        self.message.to.clear();
        self.answer(stream, ".", "250 taken").await.map(drop)
    }

    async fn answer(&mut self, stream: &mut Stream, to: &str, yes: &str) -> io::Result<String> {
        self.break_at(to)?;
        if self.manners.silent_at.is_some_and(|it| to.starts_with(it)) {
            std::future::pending::<()>().await;
        }
        let other = self.manners.replies.iter().find(|(at, _)| to.starts_with(at));
        let reply = other.map_or(yes, |(_, reply)| reply).to_owned();
        stream.write_all(format!("{reply}\r\n").as_bytes(), PATIENCE).await?;
        Ok(reply)
    }

    fn break_at(&mut self, at: &str) -> io::Result<()> {
        let mut breaks = self.breaks.lock().unwrap();
        if *breaks > 0 && self.manners.breaks_at.is_some_and(|it| at.starts_with(it)) {
            *breaks -= 1;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    async fn line(&mut self, stream: &mut Stream) -> io::Result<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return Ok(String::from_utf8(line).unwrap().trim_end_matches("\r\n").to_owned());
            }
            if stream.read_into(&mut self.input, 64 * 1024).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
