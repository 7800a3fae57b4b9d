//! What was seen of a machine and of the names that lead to it.

use std::net::IpAddr;

use crate::records::{Data, Lookup, Senders};

/// When one looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the server is set up: what is missing can still be made.
    Before,
    /// Afterwards: what is missing is a fault.
    After,
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it was looked.
    pub moment: Moment,
    /// The server's name.
    pub hostname: String,
    /// Where the world is to reach it.
    pub addresses: Vec<IpAddr>,
    /// The addresses of that name.
    pub host: Lookup<IpAddr>,
    /// The names of those addresses.
    pub reverse: Vec<Reverse>,
    /// The ports to serve at.
    pub ports: Vec<Port>,
    /// Whether mail can leave.
    pub outbound: Outbound,
    /// The clock.
    pub clock: Clock,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// Space that is left where mail is kept.
    pub disk_bytes: Option<u64>,
    /// What block lists say of the addresses.
    pub lists: Vec<Listed>,
    /// What the domains say now.
    pub domains: Vec<DomainFacts>,
    /// Whether signatures of names get through to here.
    pub validates: bool,
}

/// The names of an address.
#[derive(Clone, Debug)]
pub struct Reverse {
    /// The address.
    pub address: IpAddr,
    /// Its names.
    pub names: Lookup<String>,
    /// Those of its names that lead back to it.
    pub confirmed: Vec<String>,
}

/// A port to serve at.
#[derive(Clone, Debug)]
pub struct Port {
    /// Address and port.
    pub address: String,
    /// What is to be spoken there.
    pub protocol: &'static str,
    /// Whether that can be done.
    pub state: PortState,
}

/// Whether one can serve at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Nobody listens there, and we may.
    Free,
    /// Our running server listens there.
    Ours,
    /// Somebody else listens there.
    Taken,
    /// The system does not let us.
    Denied,
    /// The system says something else.
    Failed(String),
}

/// Whether a server elsewhere could be reached as mail reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// It greeted.
    Greeted { server: String },
    /// Something answered that is no mail server.
    Odd { server: String, said: String },
    /// Nobody answered.
    Unreached { server: String, reason: String },
    /// There was no server to try.
    NoTarget(String),
    /// All mail leaves through a relay.
    Relayed,
    /// No mail leaves.
    Closed,
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it says, in seconds since 1970.
    pub now: i64,
    /// Whether it follows the clocks of others; `None` if nobody knows.
    pub is_synchronized: Option<bool>,
}

/// What a block list says of an address.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The list.
    pub zone: String,
    /// The address.
    pub address: IpAddr,
    /// Its answer.
    pub answer: Lookup<IpAddr>,
}

/// What a domain says now.
#[derive(Clone, Debug)]
pub struct DomainFacts {
    /// The domain.
    pub name: String,
    /// Its mail exchangers.
    pub mx: Lookup<Data>,
    /// Its texts.
    pub txt: Lookup<Data>,
    /// What its policy of senders says of this server; asked before the set-up only.
    pub senders: Senders,
}
