//! Throws away what nobody asked for, before anything else looks at it.
//!
//! An answer of 64 kB has room for thousands of records with names of their own, and the proof of
//! each may take questions and signatures. So what does not belong to the question is dropped
//! between the socket and the verification, and what is left has a limit.

use std::net::IpAddr;
use std::pin::Pin;

use futures_util::{FutureExt, Stream, StreamExt};
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Message, Query};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{ConnectionProvider, PoolContext};

use crate::answer::ALIASES_MAX;

/// Makes connections whose answers are narrowed.
#[derive(Clone, Default)]
pub struct Narrow(TokioRuntimeProvider);

/// A connection whose answers are narrowed.
#[derive(Clone)]
pub struct NarrowConnection(DnsExchange<TokioRuntimeProvider>);

type Connecting = Pin<Box<dyn Future<Output = Result<NarrowConnection, NetError>> + Send>>;

impl ConnectionProvider for Narrow {
    type Conn = NarrowConnection;
    type FutureConn = Connecting;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        cx: &PoolContext,
    ) -> Result<Connecting, NetError> {
        let connecting = self.0.new_connection(ip, config, cx)?;
        Ok(Box::pin(connecting.map(|made| made.map(NarrowConnection))))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.0
    }
}

impl DnsHandle for NarrowConnection {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let query = request.queries.first().cloned();
        Box::pin(self.0.send(request).map(move |response| match &query {
            Some(query) => narrowed(query, response?),
            None => response,
        }))
    }
}

fn narrowed(query: &Query, response: DnsResponse) -> Result<DnsResponse, NetError> {
    let mut message = response.into_message();
    narrow(query, &mut message)?;
    Ok(DnsResponse::from_message(message)?)
}

fn narrow(query: &Query, message: &mut Message) -> Result<(), NetError> {
    let names = chain(query.name(), message);
    message.answers.retain(|record| {
        let kind = record.record_type();
        (kind == query.query_type() || kind == RecordType::CNAME || kind.is_rrsig())
            && names.contains(&record.name)
    });
    message.authorities.retain(|record| PROOFS.contains(&record.record_type()));
    message.additionals.clear();
    if message.answers.len() > ANSWERS_MAX || message.authorities.len() > PROOFS_MAX {
        return Err(NetError::Message("the answer has too many records"));
    }
    Ok(())
}

/// The name that was asked for, and those that it is an alias of.
fn chain(asked: &Name, message: &Message) -> Vec<Name> {
    let mut names = vec![asked.clone()];
    while let Some(last) = names.last().filter(|_| names.len() <= ALIASES_MAX) {
        let target = message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *last => Some(target.0.clone()),
            _ => None,
        });
        match target {
            Some(target) if !names.contains(&target) => names.push(target),
            _ => break,
        }
    }
    names
}

/// What says where a zone ends, and what proves that something is not there.
const PROOFS: &[RecordType] = &[
    RecordType::SOA,
    RecordType::NS,
    RecordType::DS,
    RecordType::NSEC,
    RecordType::NSEC3,
    RecordType::RRSIG,
];

/// Domains with hundreds of TXT records exist; MX and TLSA have a dozen.
const ANSWERS_MAX: usize = 512;

/// A denial has four records and their signatures (RFC 5155 §7.2), a delegation its servers.
const PROOFS_MAX: usize = 64;
