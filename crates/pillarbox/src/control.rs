//! The control socket: how a command reaches the server that has the data open.
//!
//! A Unix socket in the data folder, for its owner only. One JSON object a line, a request and its
//! reply in turns. The same requests are carried out directly when no server runs
//! ([`crate::accounts`]), so there is one list of what can be asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mail_service::Service;
use net::{Address, Guard, Peer, Refused, Stream};
use serde::{Deserialize, Serialize};
use store_local::Local;
use tracing::info;

use crate::accounts;
use crate::acl::{AclChange, AclEntry};
use crate::acme_command::{self, AcmeRequest};
use crate::aliases::{AliasRequest, Told};
use crate::app_passwords::AppPassword;
use crate::dkim_command::{self, DkimRequest, Keeper, ToldKey};
use crate::failure::Failure;
use crate::queue::QueueRequest;
use crate::quota::{QuotaChange, Used};
use crate::reload::Orders;
use crate::why::{Told as ToldOfMail, WhyRequest};

/// What can be asked of a server.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Tell the list of a mailbox, after changing an entry of it.
    Acl { name: String, mailbox: String, change: Option<AclChange> },
    /// Look after the certificate of an authority.
    Acme { ask: AcmeRequest },
    /// Add an account.
    Add { name: String, password: Password },
    /// Draw an application password.
    AppAdd { name: String, label: String, hide: Vec<String> },
    /// List the application passwords of an account.
    AppList { name: String },
    /// Remove an application password.
    AppRemove { name: String, label: String },
    /// About addresses that stand for others.
    Alias { request: AliasRequest },
    /// Look after the keys that the server keeps itself.
    Dkim { ask: DkimRequest },
    /// Add many; those that exist are left as they are.
    Import { accounts: Vec<(String, Password)> },
    /// Hide capabilities from an account, and show others again.
    Capability { name: String, hide: Vec<String>, show: Vec<String> },
    /// Names of accounts after this one, in order.
    List { after: Option<String> },
    /// Change a password.
    Passwd { name: String, password: Password },
    /// Look after the outbound queue.
    Queue { ask: QueueRequest },
    /// Tell the limits of an account, after changing those that are named.
    Quota { name: String, change: QuotaChange },
    /// Read the configuration again.
    Reload,
    /// Remove an account with its mail.
    Remove { name: String },
    /// What the store has done since the server was started.
    Counters,
    /// What the scrub has found since the server was started.
    Scrubbed,
    /// Tell the story of a message.
    Why { ask: WhyRequest },
}

/// What came of it.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase", deny_unknown_fields)]
pub enum Reply {
    /// It is done.
    Done,
    /// Of [`Request::Acl`]: all entries, in order.
    Acl { entries: Vec<AclEntry> },
    /// Of [`Request::Acme`]: what is to be shown.
    Acme { lines: Vec<String> },
    /// Of [`Request::Alias`]: an empty list is the end.
    Aliases { aliases: Vec<Told> },
    /// Of [`Request::Dkim`]: the keys that are there, or were made.
    Keys { keys: Vec<ToldKey> },
    /// Of [`Request::Import`]: the reason for each that was not added, in order.
    Imported { refused: Vec<Option<String>> },
    /// Of [`Request::AppAdd`].
    Drawn { password: Password },
    /// Of [`Request::AppList`].
    AppPasswords { passwords: Vec<AppPassword> },
    /// Of [`Request::List`]: an empty list is the end.
    Names { names: Vec<String> },
    /// Of [`Request::Quota`]: how much is used and may be used, in the order of resources.
    Quota { resources: Vec<Used> },
    /// Of [`Request::Queue`]: what is to be shown; of a listing, an empty one is the end.
    Queue { lines: Vec<String> },
    /// Of [`Request::Reload`]: what is to be shown.
    Reloaded { lines: Vec<String> },
    /// Of [`Request::Counters`].
    Counters { commits: u64, groups: u64, syncs: u64, pack_bytes: u64, row_bytes: u64 },
    /// Of [`Request::Scrubbed`].
    Scrubbed { passes: u64, bytes: u64, damaged: u64 },
    /// Of [`Request::Why`]: a part of it, and where to go on.
    Story { events: Vec<ToldOfMail>, rest: Option<Vec<u8>>, is_cut: bool },
    /// It was not done.
    Failed { reason: String },
}

/// A password on its way to the server. It is not printed.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The server's end.
pub struct ControlServer {
    service: Service,
    store: Option<Arc<Local>>,
    keepers: Keepers,
}

/// Who looks after what a running server has besides its store.
pub struct Keepers {
    /// After the certificate of an authority.
    pub acme: Option<acme::Handle>,
    /// After keys.
    pub keys: Option<Keeper>,
    /// After the configuration.
    pub orders: Orders,
}

impl ControlServer {
    /// Answers for a service, the engine below it, if it counts, and what else a server has.
    pub fn new(service: Service, store: Option<Arc<Local>>, keepers: Keepers) -> Arc<Self> {
        Arc::new(Self { service, store, keepers })
    }

    async fn answer(&self, line: &[u8]) -> Reply {
        match serde_json::from_slice(line) {
            Ok(Request::Counters) => counters(self.store.as_deref()),
            Ok(Request::Acme { ask }) => {
                info!(?ask, "control");
                acme_command::carry_out(self.keepers.acme.as_ref(), ask).await
            }
            Ok(Request::Dkim { ask }) => {
                info!(?ask, "control");
                dkim_command::answer(self.keepers.keys.as_ref(), ask).await
            }
            Ok(Request::Reload) => match self.keepers.orders.reload().await {
                Ok(lines) => Reply::Reloaded { lines },
                Err(error) => Reply::Failed { reason: error.to_string() },
            },
            Ok(request) => {
                // Request prints no secret: passwords have a type that does not.
                info!(?request, "control");
                accounts::carry_out(&self.service, request).await
            }
            Err(error) => Reply::Failed { reason: format!("request not understood: {error}") },
        }
    }
}

fn counters(store: Option<&Local>) -> Reply {
    let Some(store) = store else {
        return Reply::Failed { reason: "this engine has no counters".to_owned() };
    };
    let counters = store.counters();
    Reply::Counters {
        commits: counters.commits,
        groups: counters.groups,
        syncs: counters.syncs(),
        pack_bytes: counters.pack_bytes,
        row_bytes: counters.row_bytes,
    }
}

impl net::Service for ControlServer {
    fn refusal(&self, _: Refused) -> &'static [u8] {
        b"{\"result\":\"failed\",\"reason\":\"too many connections\"}\n"
    }

    async fn serve(&self, mut stream: Stream, _: Peer, mut guard: Guard) {
        let mut input = Vec::new();
        loop {
            let line = tokio::select! {
                () = guard.begun() => break,
                line = read_line(&mut stream, &mut input) => line,
            };
            let Ok(Some(line)) = line else { break };
            let reply = self.answer(&line).await;
            let Ok(mut reply) = serde_json::to_vec(&reply) else { break };
            reply.push(b'\n');
            if stream.write_all(&reply, PATIENCE).await.is_err() {
                break;
            }
        }
        stream.close().await;
    }
}

/// The other end: a connection to a running server.
pub struct ControlClient {
    stream: Stream,
    input: Vec<u8>,
}

impl ControlClient {
    /// Connects to the server that has this data folder open; `None` when there is none.
    ///
    /// # Errors
    /// When there is one that does not let us in.
    pub async fn connect(data: &Path) -> Result<Option<Self>, Failure> {
        let path = socket_path(data);
        match tokio::net::UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Self { stream: stream.into(), input: Vec::new() })),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(Failure::failed(format!("{}: {error}", path.display()))),
        }
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// When the server went away.
    pub async fn call(&mut self, request: &Request) -> Result<Reply, Failure> {
        let gone = |error: String| Failure::failed(format!("the server went away: {error}"));
        let mut line = serde_json::to_vec(request).map_err(|error| gone(error.to_string()))?;
        line.push(b'\n');
        let sent = self.stream.write_all(&line, PATIENCE).await;
        sent.map_err(|error| gone(error.to_string()))?;
        let reply = read_line(&mut self.stream, &mut self.input).await;
        let reply = reply.map_err(|error| gone(error.to_string()))?;
        let reply = reply.ok_or_else(|| gone("no reply".to_owned()))?;
        serde_json::from_slice(&reply).map_err(|error| gone(error.to_string()))
    }
}

/// Where the control socket of a data folder is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// The address to listen at.
pub fn address(data: &Path) -> Address {
    Address::Unix(socket_path(data))
}

/// No socket, or one that a crashed server left behind.
fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The next line without its end; `None` at the end of the stream.
async fn read_line(stream: &mut Stream, input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut searched = 0;
    loop {
        let unseen = input.get(searched..).unwrap_or_default();
        if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
            let rest = input.split_off(searched + end + 1);
            let mut line = std::mem::replace(input, rest);
            line.pop();
            return Ok(Some(line));
        }
        searched = input.len();
        if searched > LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "line too long"));
        }
        if stream.read_into(input, LINE_BYTES_MAX).await? == 0 {
            return Ok(None);
        }
    }
}

/// How long one end waits for the other to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest line: a batch of an import with the longest names and passwords, each byte escaped.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_printed_without_their_passwords() {
        let request = Request::Add { name: "home".into(), password: Password("swordfish".into()) };
        assert!(!format!("{request:?}").contains("fish"));
        let reply = Reply::Drawn { password: Password("swordfish".into()) };
        assert!(!format!("{reply:?}").contains("fish"));
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"do":"add","name":"home","password":"swordfish"}"#);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for line in [r#"{"do":"explode"}"#, r#"{"do":"remove","name":"a","force":true}"#, "", "{}"]
        {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    #[tokio::test]
    async fn lines_are_read_one_by_one_whatever_the_pieces() {
        let (mut one, mut other) = Stream::pair(1024);
        for piece in ["a", "b\nc", "\n\n", "rest"] {
            one.write_all(piece.as_bytes(), PATIENCE).await.unwrap();
        }
        drop(one);
        let mut input = Vec::new();
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut other, &mut input).await.unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["ab", "c", ""]);
    }
}
