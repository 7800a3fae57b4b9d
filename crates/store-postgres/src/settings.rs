//! What an engine is told when it is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use store::Heap;

/// Where the database is, and how it is used.
#[derive(Clone)]
pub struct Settings {
    /// A `postgresql://` URL, or `host=... user=... dbname=...`.
    pub url: String,
    /// The password, unless the URL or the server does without.
    pub password: Option<Password>,
    /// PEM file of the authorities that may sign the server's certificate, instead of those that
    /// the system trusts. TLS is always used unless the server is on this machine; with this it is
    /// used there too.
    pub ca_file: Option<PathBuf>,
    /// Connections that this node opens at most; at least [`CONNECTIONS_MIN`].
    pub connections_max: usize,
    /// Bodies up to this length, as stored, are kept in the row that records them.
    pub inline_bytes_max: usize,
    /// How other nodes are told of commits.
    pub hinting: Hinting,
    /// Where longer bodies go; without one they are kept in the database, in pieces.
    pub heap: Option<Arc<dyn Heap>>,
    /// How long a call waits for the database to be reached, or for a free connection.
    pub patience: Duration,
    /// How long a commit whose connection was lost is looked for before its outcome is called
    /// unknown.
    pub outcome_patience: Duration,
    /// How long the object of a deleted blob stays, so that whoever reads it can finish.
    pub garbage_grace: Duration,
    /// How old an object that no row names must be before it is taken for garbage: longer than any
    /// time between a put and the commit that names it.
    pub orphan_grace: Duration,
}

impl Settings {
    /// Settings that fit a small node.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            ca_file: None,
            connections_max: 32,
            inline_bytes_max: 16 * 1024,
            hinting: Hinting::Notify,
            heap: None,
            patience: Duration::from_secs(5),
            outcome_patience: Duration::from_secs(20),
            garbage_grace: Duration::from_mins(10),
            orphan_grace: Duration::from_hours(24),
        }
    }

    /// Connections for commits: each is one transaction at a time.
    pub(crate) fn writers(&self) -> usize {
        (self.connections_max / 4).clamp(2, WRITERS_MAX)
    }

    /// Connections for reads and puts outside of views.
    pub(crate) fn helpers(&self) -> usize {
        (self.connections_max / 8).clamp(2, 8)
    }

    /// Connections for views: each holds one as long as it is open.
    #[must_use]
    pub fn views_max(&self) -> usize {
        // One more connection listens for hints.
        let rest = self.connections_max.saturating_sub(self.writers() + self.helpers() + 1);
        rest.clamp(2, store::limits::VIEWS_MAX)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password in it.
        f.debug_struct("Settings")
            .field("connections_max", &self.connections_max)
            .field("inline_bytes_max", &self.inline_bytes_max)
            .field("hinting", &self.hinting)
            .finish_non_exhaustive()
    }
}

/// A password; it prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How other nodes hear of commits; the same on all nodes of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hinting {
    /// `LISTEN` and `NOTIFY`: within some milliseconds.
    Notify,
    /// A small table that every node looks at each [`HINT_POLL`], for databases without `NOTIFY`
    /// and for poolers that share sessions.
    Poll,
}

/// Fewest connections of a node: two for commits, two for reads, two for views, one that listens.
pub const CONNECTIONS_MIN: usize = 7;

/// More do not make commits faster; they only make conflicts.
const WRITERS_MAX: usize = 16;

/// How often a node looks for hints where there is no `NOTIFY`. An IDLE on another node hears of a
/// delivery after this and [`HINT_PAUSE`] at most.
pub const HINT_POLL: Duration = Duration::from_millis(250);

/// How long hints are gathered before they are sent: one statement tells of all commits meanwhile.
pub const HINT_PAUSE: Duration = Duration::from_millis(10);
