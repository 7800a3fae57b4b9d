//! What is asked of the DNS, and what can become of a question.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// Answers questions. The real one is a [`dns::Resolver`]; tests and benches bring their zones.
///
/// Names come in normal form. An empty answer means that the name exists and has no such records.
pub trait Source: Send + Sync {
    /// The TXT records, the strings of each joined.
    fn txt<'a>(&'a self, name: &'a str) -> Lookup<'a, String>;
    /// The addresses of one family.
    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Lookup<'a, IpAddr>;
    /// The exchanges, most preferred first.
    fn exchanges<'a>(&'a self, name: &'a str) -> Lookup<'a, String>;
    /// The names of an address.
    fn names(&self, address: IpAddr) -> Lookup<'_, String>;
}

/// A question on its way.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, Failure>> + Send + 'a>>;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A
    Ipv4,
    /// AAAA
    Ipv6,
}

impl Family {
    /// The family of this address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name does not exist.
    NoSuchName,
    /// Nobody answered, or the answer cannot be trusted; later there may be one.
    Temporary,
}

/// An answer in which a name that does not exist has no records.
pub(crate) fn or_none<T>(answer: Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    match answer {
        Err(Failure::NoSuchName) => Ok(Vec::new()),
        other => other,
    }
}
