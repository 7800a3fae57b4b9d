//! Asks name servers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use crate::answer::{self, Answer, Mx, Security, Srv, Tlsa};
use crate::narrow::Narrow;
use crate::path::Path;
use crate::{DnsError, Settings, Validation, anchor, name};

/// Asks name servers, remembers what they say, and verifies its signatures.
///
/// Clones share what is remembered.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    /// Verifies signatures.
    validating: hickory_resolver::Resolver<Narrow>,
    /// Takes answers as they come: of block lists, and where nothing can be verified.
    plain: TokioResolver,
    validation: Validation,
    path: Path,
    timeout: Duration,
}

impl Resolver {
    /// A resolver that has asked nobody yet.
    ///
    /// # Errors
    /// If the system names no servers, or the trust anchor is not readable.
    pub fn new(settings: &Settings) -> Result<Self, DnsError> {
        let anchors = Arc::new(anchor::read(settings.trust_anchor.as_deref())?);
        let servers = servers(settings)?;
        let unusable = |error: NetError| DnsError::Temporary(format!("no resolver: {error}"));
        let mut validating =
            hickory_resolver::Resolver::builder_with_config(servers.clone(), Narrow::default())
                .with_trust_anchor(anchors)
                .nsec3_iteration_limits(Some(NSEC3_TRUSTED_MAX), Some(NSEC3_COMPUTED_MAX));
        set_options(validating.options_mut(), settings);
        let mut plain =
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
        set_options(plain.options_mut(), settings);
        let shared = Shared {
            validating: validating.build().map_err(unusable)?,
            plain: plain.build().map_err(unusable)?,
            validation: settings.validation,
            path: Path::default(),
            timeout: settings.timeout,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The servers that take mail for a domain, in the order of the answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn mx(&self, domain: &str) -> Result<Answer<Vec<Mx>>, DnsError> {
        self.records(&name::parse(domain)?, RecordType::MX, answer::mx).await
    }

    /// The addresses of a host, those of IPv6 first.
    ///
    /// # Errors
    /// If it has none, if those of one kind are forged, or if nobody answered and there is no
    /// address of the other kind either.
    pub async fn addresses(&self, host: &str) -> Result<Answer<Vec<IpAddr>>, DnsError> {
        let (six, four) = tokio::join!(self.ipv6(host), self.ipv4(host));
        both(six, four)
    }

    /// The IPv4 addresses of a host. SPF asks for one kind only, RFC 7208 §5.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ipv4(&self, host: &str) -> Result<Answer<Vec<IpAddr>>, DnsError> {
        let address = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        };
        self.records(&name::parse(host)?, RecordType::A, address).await
    }

    /// The IPv6 addresses of a host.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ipv6(&self, host: &str) -> Result<Answer<Vec<IpAddr>>, DnsError> {
        let address = |data: &RData| match data {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        self.records(&name::parse(host)?, RecordType::AAAA, address).await
    }

    /// The texts of a name; the strings of one record are one text.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn txt(&self, name: &str) -> Result<Answer<Vec<String>>, DnsError> {
        self.records(&name::parse(name)?, RecordType::TXT, answer::txt).await
    }

    /// The certificates of a host's service at a port of TCP, RFC 6698 §3.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn tlsa(&self, port: u16, host: &str) -> Result<Answer<Vec<Tlsa>>, DnsError> {
        let name = name::parse(&format!("_{port}._tcp.{host}"))?;
        self.records(&name, RecordType::TLSA, answer::tlsa).await
    }

    /// The names of an address.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ptr(&self, address: IpAddr) -> Result<Answer<Vec<String>>, DnsError> {
        self.records(&Name::from(address), RecordType::PTR, answer::ptr).await
    }

    /// Where a service is; the name begins with the service, as in `_imaps._tcp.example.org`.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn srv(&self, name: &str) -> Result<Answer<Vec<Srv>>, DnsError> {
        self.records(&name::parse(name)?, RecordType::SRV, answer::srv).await
    }

    /// Who may issue certificates for a name, in small letters: the `issue` properties that stand
    /// at this very name, RFC 8659 §4.2. An empty one stands for nobody.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn issuers(&self, name: &str) -> Result<Answer<Vec<String>>, DnsError> {
        self.records(&name::parse(name)?, RecordType::CAA, answer::issuer).await
    }

    /// Whether a name of a block list has an address of the kind that such lists use.
    ///
    /// They list by addresses of 127.0.0.0/8 (RFC 5782 §2.3). Others come from servers that
    /// answer for names that do not exist, and those of 127.255.255.0/24 say that the list did
    /// not want to be asked: neither says anything about a sender. Nothing is verified.
    ///
    /// # Errors
    /// If nobody answered.
    pub async fn a_exists(&self, name: &str) -> Result<bool, DnsError> {
        let name = name::parse(name)?;
        let asked = self.shared.plain.lookup(name.clone(), RecordType::A);
        let listed = bounded(self.shared.timeout, &name, asked).await.and_then(|lookup| {
            answer::read(&name, RecordType::A, &lookup, |data| match data {
                RData::A(address) => Some(address.0.octets()),
                _ => None,
            })
        });
        match listed {
            Ok(answer) => Ok(answer
                .records
                .iter()
                .any(|it| it.starts_with(&[127]) && !it.starts_with(&[127, 255, 255]))),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether signatures are verified: asked for, and not dropped on the way to here.
    pub async fn validates(&self) -> bool {
        match self.shared.validation {
            Validation::Always => true,
            Validation::Never => false,
            Validation::Probe => match self.shared.path.known(Instant::now()) {
                Some(known) => known,
                None => self.find_out().await,
            },
        }
    }

    /// In a task of its own: whoever gives its question up early does not take what is found out
    /// along.
    async fn find_out(&self) -> bool {
        let this = self.clone();
        let asking = async move { this.shared.path.find_out(this.probe()).await };
        tokio::spawn(asking).await.unwrap_or_default()
    }

    /// Asks for what every chain of signatures begins with. The question that waits for it shall
    /// have time left.
    async fn probe(&self) -> Result<Security, DnsError> {
        let root = Name::root();
        let asked = self.shared.validating.lookup(root.clone(), RecordType::SOA);
        let lookup = bounded(self.shared.timeout / 2, &root, asked).await?;
        Ok(answer::read(&root, RecordType::SOA, &lookup, |data| Some(data.clone()))?.security)
    }

    async fn records<T>(
        &self,
        name: &Name,
        kind: RecordType,
        value: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<Vec<T>>, DnsError> {
        let asked = async {
            if self.validates().await {
                self.shared.validating.lookup(name.clone(), kind).await
            } else {
                self.shared.plain.lookup(name.clone(), kind).await
            }
        };
        let lookup = bounded(self.shared.timeout, name, asked).await?;
        answer::read(name, kind, &lookup, value)
    }
}

async fn bounded(
    longest: Duration,
    name: &Name,
    asked: impl Future<Output = Result<Lookup, NetError>>,
) -> Result<Lookup, DnsError> {
    match timeout(longest, asked).await {
        Ok(answered) => answered.map_err(|error| DnsError::read(name, error)),
        Err(_) => Err(DnsError::Temporary(format!("{name}: no answer in time"))),
    }
}

/// Puts both kinds of addresses together. What is forged spoils the other kind too; one kind that
/// nobody answers for does not.
fn both(
    six: Result<Answer<Vec<IpAddr>>, DnsError>,
    four: Result<Answer<Vec<IpAddr>>, DnsError>,
) -> Result<Answer<Vec<IpAddr>>, DnsError> {
    match (six, four) {
        (Ok(mut six), Ok(four)) => {
            if !four.is_secure() {
                six.security = Security::Insecure;
            }
            six.records.extend(four.records);
            Ok(six)
        }
        (Err(bogus @ DnsError::Bogus(_)), _) | (_, Err(bogus @ DnsError::Bogus(_))) => Err(bogus),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(six), Err(four)) => Err(if six.is_temporary() { six } else { four }),
    }
}

fn servers(settings: &Settings) -> Result<ResolverConfig, DnsError> {
    if settings.servers.is_empty() {
        let (system, _) = read_system_conf().map_err(|error| {
            DnsError::Temporary(format!("the system names no name servers: {error}"))
        })?;
        return Ok(ResolverConfig::from_name_servers(system.name_servers));
    }
    let server = |address: &std::net::SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        server
    };
    Ok(ResolverConfig::from_name_servers(settings.servers.iter().map(server).collect()))
}

fn set_options(options: &mut ResolverOpts, settings: &Settings) {
    let tries = u32::try_from(settings.attempts).unwrap_or(u32::MAX).saturating_add(1);
    options.timeout = settings.timeout / tries;
    options.attempts = settings.attempts;
    options.cache_size = REMEMBERED_ANSWERS_MAX;
    // Who claims a name of ours in a file of the system does not speak for the mail of others.
    options.use_hosts_file = ResolveHosts::Never;
    // What is signed must be seen to the end: aliases too.
    options.preserve_intermediates = true;
    options.positive_max_ttl = Some(REMEMBERED_MAX);
    options.negative_min_ttl = Some(ABSENT_MIN);
    options.negative_max_ttl = Some(ABSENT_MAX);
    options.max_active_requests = ACTIVE_MAX;
}

/// More rounds than this make a zone count as unsigned, as in other resolvers; RFC 9276 §3.2 asks
/// owners for none at all.
const NSEC3_TRUSTED_MAX: u16 = 50;

/// More rounds than this are not computed for a stranger: the answer is bogus. RFC 9276 §3.2
const NSEC3_COMPUTED_MAX: u16 = 150;

/// Answers that are remembered: at the 2 kB or so that a signed one takes, about 16 MB.
const REMEMBERED_ANSWERS_MAX: u64 = 8_192;

/// Nothing is believed for longer than a day.
const REMEMBERED_MAX: Duration = Duration::from_hours(24);

/// That something is not there is believed for this long at least, whatever the owner says; the
/// same sender's next message asks the same.
const ABSENT_MIN: Duration = Duration::from_secs(30);

/// That something is not there is believed for this long at most: people mend their records and
/// try again.
const ABSENT_MAX: Duration = Duration::from_mins(15);

/// Questions under way on one connection of TCP.
const ACTIVE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, security: Security) -> Answer<Vec<IpAddr>> {
        let records = vec![text.parse().unwrap()];
        Answer { records, security }
    }

    #[test]
    fn addresses_of_both_kinds_are_secure_only_together() {
        let secure = |text| Ok(answer(text, Security::Secure));
        let insecure = |text| Ok(answer(text, Security::Insecure));
        let absent = || Err(DnsError::NoRecords { secure: true });
        let silent = || Err(DnsError::Temporary("silent".to_owned()));
        let bogus = || Err(DnsError::Bogus("forged".to_owned()));
        assert!(both(secure("::1"), secure("127.0.0.1")).unwrap().is_secure());
        assert!(!both(secure("::1"), insecure("127.0.0.1")).unwrap().is_secure());
        assert!(!both(insecure("::1"), secure("127.0.0.1")).unwrap().is_secure());
        assert_eq!(both(absent(), secure("127.0.0.1")), secure("127.0.0.1"));
        assert_eq!(both(silent(), secure("127.0.0.1")), secure("127.0.0.1"));
        assert_eq!(both(absent(), silent()), silent());
        assert_eq!(both(silent(), absent()), silent());
        assert_eq!(both(absent(), absent()), absent());
        assert_eq!(both(bogus(), secure("127.0.0.1")), bogus());
        assert_eq!(both(secure("::1"), bogus()), bogus());
    }
}
