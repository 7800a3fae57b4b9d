//! SPF: whether an address may send in the name of a domain. RFC 7208
//!
//! Records and macros are read by mail-auth, after `spf_terms` has looked at them. Evaluation is
//! ours, since its limits decide how many questions a stranger makes us ask: at most ten terms that
//! ask, of which at most two may find nothing, wherever they stand in a nest of includes.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::spf::{self, Directive, Macro, Mechanism, Qualifier, Variables};

use crate::domain;
use crate::names::{Failure, Family, Source, or_none};
use crate::spf_terms::known_terms;

/// What SPF says about one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spf {
    /// The result.
    pub result: SpfResult,
    /// The domain that was asked for, in normal form; `None` if there is no such name.
    pub domain: Option<String>,
}

/// RFC 7208 §2.6
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfResult {
    /// There is no record, or no domain.
    None,
    /// The domain says nothing about this address.
    Neutral,
    /// The address may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It should not.
    SoftFail,
    /// A name server did not answer.
    TempError,
    /// The records are wrong.
    PermError,
}

/// Who is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) ip: IpAddr,
    /// The name of EHLO.
    pub(crate) helo: &'a str,
    /// The address of MAIL FROM, or `postmaster@` and the name of EHLO.
    pub(crate) sender: &'a str,
    pub(crate) domain: &'a str,
    /// Our own name.
    pub(crate) receiver: &'a str,
}

/// Whether a server of this name and address may send in the name of a domain. For its operator:
/// mail that comes in is looked at by [`crate::Verifier`].
pub async fn may_send(source: &dyn Source, ip: IpAddr, helo: &str, domain: &str) -> SpfResult {
    let sender = format!("postmaster@{domain}");
    let identity = Identity { ip, helo, sender: &sender, domain, receiver: helo };
    check(source, &identity).await.result
}

/// Evaluates the records of a domain. RFC 7208 §4
pub(crate) async fn check(source: &dyn Source, identity: &Identity<'_>) -> Spf {
    let domain = domain::normal(identity.domain);
    // A name of one label, or none at all: RFC 7208 §4.3.
    let result = match &domain {
        Some(name) if name.contains('.') => {
            let mut check = Check::new(source, identity);
            match check.host(name.clone()).await {
                Ok(result) => result,
                Err(Stop::Temporary) => SpfResult::TempError,
                Err(Stop::Permanent) => SpfResult::PermError,
            }
        }
        _ => SpfResult::None,
    };
    Spf { result, domain }
}

/// What ends the evaluation at any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Temporary,
    Permanent,
}

struct Check<'s> {
    source: &'s dyn Source,
    ip: IpAddr,
    variables: Variables<'static>,
    lookups: usize,
    voids: usize,
}

type Evaluation<'c> = Pin<Box<dyn Future<Output = Result<SpfResult, Stop>> + Send + 'c>>;

impl<'s> Check<'s> {
    fn new(source: &'s dyn Source, identity: &Identity<'_>) -> Self {
        // An IPv4 client of an IPv6 socket is an IPv4 client. RFC 7208 §5
        let ip = identity.ip.to_canonical();
        let mut variables = Variables::new();
        variables.set_ip(&ip);
        variables.set_sender(with_local_part(identity.sender).into_owned().into_bytes());
        variables.set_helo_domain(identity.helo.as_bytes().to_vec());
        variables.set_host_domain(identity.receiver.as_bytes().to_vec());
        Self { source, ip, variables, lookups: 0, voids: 0 }
    }

    /// `check_host()`. Boxed, since an include evaluates another domain; the limit on terms that
    /// ask also limits the depth.
    fn host(&mut self, domain: String) -> Evaluation<'_> {
        Box::pin(async move {
            let Some(record) = self.record(&domain).await? else { return Ok(SpfResult::None) };
            self.variables.set_domain(domain.clone().into_bytes());
            for directive in &record.directives {
                if self.matches(directive, &domain).await? {
                    return Ok(qualified(&directive.qualifier));
                }
                // An include has named its own domain.
                self.variables.set_domain(domain.clone().into_bytes());
            }
            let Some(redirect) = &record.redirect else { return Ok(SpfResult::Neutral) };
            self.count_lookup()?;
            let target = self.target(redirect, &domain).await?.ok_or(Stop::Permanent)?;
            match self.host(target).await? {
                // RFC 7208 §6.1
                SpfResult::None => Err(Stop::Permanent),
                result => Ok(result),
            }
        })
    }

    /// The one record of a domain. RFC 7208 §4.4, §4.5
    async fn record(&mut self, domain: &str) -> Result<Option<spf::Spf>, Stop> {
        let texts = or_none(self.source.txt(domain).await).map_err(|_| Stop::Temporary)?;
        let mut records = texts.iter().filter(|text| is_record(text));
        let Some(record) = records.next() else { return Ok(None) };
        if records.next().is_some() {
            return Err(Stop::Permanent);
        }
        let record = known_terms(record).ok_or(Stop::Permanent)?;
        spf::Spf::parse(record.as_bytes()).map(Some).map_err(|_| Stop::Permanent)
    }

    /// RFC 7208 §5
    async fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, Stop> {
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4 { addr, mask } => Ok(self.is_in_ipv4(*addr, *mask)),
            Mechanism::Ip6 { addr, mask } => Ok(self.is_in_ipv6(*addr, *mask)),
            Mechanism::A { macro_string, ip4_mask, ip6_mask } => {
                self.count_lookup()?;
                let Some(name) = self.target(macro_string, domain).await? else { return Ok(false) };
                let found = self.source.addresses(&name, Family::of(self.ip)).await;
                let found = self.counted(found)?;
                Ok(found.iter().any(|address| self.is_near(*address, *ip4_mask, *ip6_mask)))
            }
            Mechanism::Mx { macro_string, ip4_mask, ip6_mask } => {
                self.count_lookup()?;
                let Some(name) = self.target(macro_string, domain).await? else { return Ok(false) };
                self.is_exchange(&name, *ip4_mask, *ip6_mask).await
            }
            Mechanism::Include { macro_string } => {
                self.count_lookup()?;
                let target = self.target(macro_string, domain).await?.ok_or(Stop::Permanent)?;
                self.includes(target).await
            }
            Mechanism::Exists { macro_string } => {
                self.count_lookup()?;
                let Some(name) = self.target(macro_string, domain).await? else { return Ok(false) };
                // "even when the connection type is IPv6": RFC 7208 §5.7.
                let found = self.source.addresses(&name, Family::Ipv4).await;
                Ok(!self.counted(found)?.is_empty())
            }
            Mechanism::Ptr { macro_string } => {
                self.count_lookup()?;
                let Some(name) = self.target(macro_string, domain).await? else { return Ok(false) };
                let names = self.validated_names().await?;
                Ok(names.iter().any(|other| domain::is_within(other, &name)))
            }
        }
    }

    /// RFC 7208 §5.2
    async fn includes(&mut self, target: String) -> Result<bool, Stop> {
        match self.host(target).await? {
            SpfResult::Pass => Ok(true),
            SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Ok(false),
            SpfResult::TempError => Err(Stop::Temporary),
            SpfResult::PermError | SpfResult::None => Err(Stop::Permanent),
        }
    }

    /// RFC 7208 §5.4, §4.6.4
    async fn is_exchange(&mut self, name: &str, ip4: u32, ip6: u128) -> Result<bool, Stop> {
        let found = self.source.exchanges(name).await;
        let exchanges = self.counted(found)?;
        for (at, exchange) in exchanges.iter().enumerate() {
            if at >= NAMES_MAX {
                return Err(Stop::Permanent);
            }
            let family = Family::of(self.ip);
            let found = match self.source.addresses(exchange, family).await {
                // That an exchange has no address of this family is no mistake of the domain.
                Ok(found) => found,
                failed => self.counted(failed)?,
            };
            if found.iter().any(|address| self.is_near(*address, ip4, ip6)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names of the client that lead back to it. RFC 7208 §5.5
    async fn validated_names(&mut self) -> Result<Vec<String>, Stop> {
        // A failure here is as if there were no name.
        let names = or_none(self.source.names(self.ip).await).unwrap_or_default();
        let mut valid = Vec::new();
        for name in names.iter().take(NAMES_MAX).filter_map(|name| domain::normal(name)) {
            let addresses = self.source.addresses(&name, Family::of(self.ip)).await;
            if addresses.unwrap_or_default().contains(&self.ip) {
                valid.push(name);
            }
        }
        Ok(valid)
    }

    /// The name that a term asks for; `None` if its macros make no name. RFC 7208 §4.8, §7
    async fn target(&mut self, text: &Macro, domain: &str) -> Result<Option<String>, Stop> {
        if text.needs_ptr() {
            self.count_lookup()?;
            let names = self.validated_names().await?;
            let best = names.iter().find(|name| domain::is_within(name, domain));
            let name = best.or(names.first()).map_or("unknown", String::as_str);
            self.variables.set_validated_domain(name.as_bytes().to_vec());
        }
        let name = text.eval(&self.variables, domain, false);
        Ok(domain::normal(shortened(&name)))
    }

    fn count_lookup(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX { Err(Stop::Permanent) } else { Ok(()) }
    }

    /// An answer, of which too many may not be empty. RFC 7208 §4.6.4
    fn counted<T>(&mut self, answer: Result<Vec<T>, Failure>) -> Result<Vec<T>, Stop> {
        let records = or_none(answer).map_err(|_| Stop::Temporary)?;
        if records.is_empty() {
            self.voids += 1;
        }
        if self.voids > VOIDS_MAX { Err(Stop::Permanent) } else { Ok(records) }
    }

    fn is_near(&self, address: IpAddr, ip4_mask: u32, ip6_mask: u128) -> bool {
        match address {
            IpAddr::V4(address) => self.is_in_ipv4(address, ip4_mask),
            IpAddr::V6(address) => self.is_in_ipv6(address, ip6_mask),
        }
    }

    fn is_in_ipv4(&self, address: Ipv4Addr, mask: u32) -> bool {
        matches!(self.ip, IpAddr::V4(ip) if ip.to_bits() & mask == address.to_bits() & mask)
    }

    fn is_in_ipv6(&self, address: Ipv6Addr, mask: u128) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if ip.to_bits() & mask == address.to_bits() & mask)
    }
}

/// RFC 7208 §4.5: `v=spf1`, and then a space or the end.
fn is_record(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"v=spf1"))
        && matches!(bytes.get(6), None | Some(b' '))
}

fn qualified(qualifier: &Qualifier) -> SpfResult {
    match qualifier {
        Qualifier::Pass => SpfResult::Pass,
        Qualifier::Fail => SpfResult::Fail,
        Qualifier::SoftFail => SpfResult::SoftFail,
        Qualifier::Neutral => SpfResult::Neutral,
    }
}

/// RFC 7208 §4.3: "the string 'postmaster' is used" for a sender without a local part.
fn with_local_part(sender: &str) -> Cow<'_, str> {
    match sender.strip_prefix('@') {
        Some(domain) => Cow::Owned(format!("postmaster@{domain}")),
        None => Cow::Borrowed(sender),
    }
}

/// The end of a name that is too long, cut at a label. RFC 7208 §7.3
fn shortened(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    let Some(excess) = name.len().checked_sub(domain::NAME_BYTES_MAX).filter(|it| *it > 0) else {
        return name;
    };
    // The dot before the part that is kept may be the last octet that is dropped.
    let dots = name.match_indices('.').map(|(at, _)| at);
    let cut = dots.into_iter().find(|at| *at + 1 >= excess);
    cut.and_then(|at| name.get(at + 1..)).unwrap_or_default()
}

/// Terms that ask. RFC 7208 §4.6.4
const LOOKUPS_MAX: usize = 10;

/// Answers without records. RFC 7208 §4.6.4
const VOIDS_MAX: usize = 2;

/// Exchanges of one `mx`, and names of one address. RFC 7208 §4.6.4
const NAMES_MAX: usize = 10;
