//! Hands mail to the servers of the recipients' domain itself: which these are says its zone, and
//! how the connections have to be protected say its zone, its policy and the message.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns::{Answer, DnsError, Resolver, Security, Tlsa};
use mail_service::queue::{Attempt, Job, Origin, Outcomes, Reply};
use mail_service::tls::{Failure, FailureKind, Ruler, Subject};
use mail_service::{Service, keys};
use smtp_session::{Client, ClientTls, Errand, Fate, Response};
use tracing::debug;

use super::convert::{all, errand, outcomes, reply, why};
use super::demand::{Barred, Demand, Known, Plan, Wish, plan};
use super::destinations::Destinations;
use super::dialogue::{Broken, Peer, Talk};
use super::link::Link;
use super::mta_sts::{Found, Policies, PolicyFault};
use super::pool::{Line, Pool};
use super::relay::RelayError;
use super::report::{TlsCounts, failure_kind, tlsa_lines};
use super::sts::Policy;
use super::targets::{NoHost, Reach, interleave, literal, rank};
use super::tls::{Sides, handshake_fault};
use super::web::Web;

/// How servers of other domains are reached.
#[derive(Clone, Debug)]
pub struct DirectSettings {
    /// The name by which this server calls itself.
    pub hostname: String,
    /// The port at which they are: 25, except in tests and in networks of one's own.
    pub port: u16,
    /// The port at which policies are told: 443, with the same exceptions. RFC 8461 §3.3
    pub policy_port: u16,
    /// Whether addresses of private networks and of this machine may be dialled.
    pub allow_private: bool,
    /// Certificates of the authorities that are trusted, in PEM; without them the system's.
    pub authorities: Option<Vec<u8>>,
}

impl DirectSettings {
    /// As it is on the public network.
    #[must_use]
    pub fn new(hostname: String) -> Self {
        Self { hostname, port: 25, policy_port: 443, allow_private: false, authorities: None }
    }
}

/// Reaches the servers of other domains. Clones share what is known of them.
#[derive(Clone)]
pub struct Direct {
    inner: Arc<Inner>,
}

struct Inner {
    settings: DirectSettings,
    reach: Reach,
    resolver: Resolver,
    sides: Sides,
    web: Web,
    policies: Policies,
    destinations: Destinations,
    counts: TlsCounts,
}

impl Direct {
    /// Begins with nothing known.
    ///
    /// # Errors
    /// When the authorities are not certificates, or the system has none.
    pub fn new(resolver: Resolver, settings: DirectSettings) -> Result<Self, RelayError> {
        let sides = Sides::new(settings.authorities.as_deref()).map_err(RelayError)?;
        let reach = if settings.allow_private { Reach::Private } else { Reach::Public };
        let tls = Arc::clone(&sides.verified);
        let web = Web::new(resolver.clone(), tls, settings.policy_port, reach);
        let (policies, destinations) = (Policies::default(), Destinations::default());
        let counts = TlsCounts::default();
        let inner = Inner { settings, reach, resolver, sides, web, policies, destinations, counts };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether both share what is known.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether nobody else shares it: no attempt is under way any more, nor will another begin.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// What became of TLS so far.
    pub(super) fn counts(&self) -> &TlsCounts {
        &self.inner.counts
    }

    /// Who asks web servers.
    pub(super) fn web(&self) -> &Web {
        &self.inner.web
    }

    /// Tries to hand a message on to the servers of its recipients' domain.
    pub(super) async fn send(&self, service: &Service, job: &Job, pool: &Pool) -> Outcomes {
        let inner = &self.inner;
        let _seat = match inner.destinations.enter(&job.domain).await {
            Ok(seat) => seat,
            Err(reply) => return all(job, &Attempt::Deferred(reply)),
        };
        let route = match inner.route(service, &job.domain).await {
            Ok(route) => route,
            Err(attempt) => return all(job, &attempt),
        };
        let mut trip = Trip::new(inner, service, job, &route, pool);
        trip.count_policy_fault();
        for host in &route.hosts {
            if !trip.can_dial() {
                break;
            }
            if let Some(outcomes) = trip.ask(host).await {
                inner.destinations.reached(&job.domain);
                return outcomes;
            }
        }
        trip.end()
    }
}

/// Where the mail of a domain goes.
struct Route {
    /// The domain, in ASCII.
    domain: String,
    /// The servers to be asked, in this order.
    hosts: Vec<String>,
    /// Whether a signed zone says so.
    is_signed: bool,
    /// The one address, if it stands in place of a domain.
    literal: Option<IpAddr>,
    policy: Found,
}

impl Inner {
    /// RFC 5321 §5.1
    async fn route(&self, service: &Service, domain: &str) -> Result<Route, Attempt> {
        if domain.starts_with('[') {
            let address = literal(domain).ok_or_else(|| no_domain("this is no address"))?;
            let (hosts, policy) = (vec![address.to_string()], Found::default());
            let (domain, literal) = (domain.to_owned(), Some(address));
            return Ok(Route { domain, hosts, is_signed: false, literal, policy });
        }
        let domain = dns::ascii(domain).ok_or_else(|| no_domain("this is no name of a domain"))?;
        let policy = self.policies.of(service, &self.web, &domain);
        let (mx, policy) = tokio::join!(self.resolver.mx(&domain), policy);
        // A policy may be there that must not be passed over.
        let policy = policy.map_err(|error| {
            let text = format!("what {domain} demands cannot be looked up: {error}");
            Attempt::Deferred(Reply::own([4, 3, 0], text))
        })?;
        let (hosts, is_signed) = match mx {
            Ok(answer) => {
                // Any number will do that others cannot foretell.
                let shuffle = RandomState::new().build_hasher().finish();
                let ranked = rank(&answer.records, &self.settings.hostname, shuffle);
                (ranked.map_err(unroutable)?, answer.is_secure())
            }
            // Then the domain itself is the server.
            Err(DnsError::NoRecords { secure }) => (vec![domain.clone()], secure),
            Err(error) => return Err(unresolved(&domain, &error)),
        };
        Ok(Route { domain, hosts, is_signed, literal: None, policy })
    }

    async fn addresses(&self, route: &Route, host: &str) -> Result<Answer<Vec<IpAddr>>, DnsError> {
        match route.literal {
            None => self.resolver.addresses(host).await,
            Some(address) => {
                let (records, security, owner) = (vec![address], Security::Insecure, host.into());
                Ok(Answer { records, security, owner })
            }
        }
    }

    /// The names below which the TLSA records of a server may stand, the best first; none if
    /// nobody vouches for the server, whose records prove nothing then. RFC 7672 §2.2.1, §2.2.2
    async fn tlsa_bases(
        &self,
        route: &Route,
        host: &str,
        found: &Answer<Vec<IpAddr>>,
    ) -> Result<Vec<String>, DnsError> {
        let is_alias = found.owner != host;
        if !route.is_signed || !(found.is_secure() || is_alias) {
            return Ok(Vec::new());
        }
        let mut bases = vec![host.to_owned()];
        if found.is_secure() && is_alias {
            bases.insert(0, found.owner.clone());
        } else if is_alias && present(self.resolver.alias(host).await)?.is_none() {
            // It is not the alias that is not signed, but where it leads.
            bases.clear();
        }
        Ok(bases)
    }

    /// The signed TLSA records of a server, and below which of these names they stand.
    /// RFC 7672 §2.1, §2.2
    async fn tlsa(&self, bases: Vec<String>) -> Result<Option<(String, Vec<Tlsa>)>, DnsError> {
        for base in bases {
            let answer = self.resolver.tlsa(self.settings.port, &base).await;
            if let Some(records) = present(answer)? {
                return Ok(Some((base, records)));
            }
        }
        Ok(None)
    }
}

/// What is there and signed. RFC 7672 §2.1.2: whoever could hide it could also read the mail.
fn present<T>(answer: Result<Answer<T>, DnsError>) -> Result<Option<T>, DnsError> {
    match answer {
        Ok(answer) => Ok(answer.is_secure().then_some(answer.records)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// One message on its way from server to server.
struct Trip<'a> {
    inner: &'a Inner,
    service: &'a Service,
    job: &'a Job,
    route: &'a Route,
    wish: Wish,
    pool: &'a Pool,
    dials_left: usize,
    /// What was wrong with the last server.
    problem: Option<Problem>,
    /// Whether all that was wrong will be so another time.
    is_final: bool,
    /// Whether a server has spoken.
    was_heard: bool,
}

/// Why a server did not get the message.
struct Problem {
    host: String,
    response: Response,
    is_final: bool,
}

/// A server that may be asked.
struct Place<'a> {
    host: &'a str,
    addresses: Vec<IpAddr>,
    plan: Plan,
    subject: Subject,
}

/// What came of one connection.
enum Ended {
    /// This, for all recipients.
    Spoken(Outcomes),
    /// TLS was not what it was to be.
    Unsafe,
    /// Nothing; another address or server may do better.
    Away,
}

impl<'a> Trip<'a> {
    fn new(
        inner: &'a Inner,
        service: &'a Service,
        job: &'a Job,
        route: &'a Route,
        pool: &'a Pool,
    ) -> Self {
        let (wish, dials_left, problem) = (Wish::of(&job.terms), DIALS_MAX, None);
        let (is_final, was_heard) = (true, false);
        Self { inner, service, job, route, wish, pool, dials_left, problem, is_final, was_heard }
    }

    /// Asks one server, at each of its addresses and in each way that its plan allows.
    async fn ask(&mut self, host: &str) -> Option<Outcomes> {
        let place = match self.place(host).await {
            Ok(place) => place,
            Err(problem) => {
                self.note(problem);
                return None;
            }
        };
        if let Some(demand) = place.plan.ladder.first()
            && let Some(Ended::Spoken(outcomes)) = self.attempt(&place, demand, None).await
        {
            return Some(outcomes);
        }
        for address in &place.addresses {
            for demand in &place.plan.ladder {
                if !self.can_dial() {
                    return None;
                }
                self.dials_left -= 1;
                match self.attempt(&place, demand, Some(*address)).await {
                    Some(Ended::Spoken(outcomes)) => return Some(outcomes),
                    Some(Ended::Unsafe) => {}
                    Some(Ended::Away) | None => break,
                }
            }
        }
        None
    }

    /// Whether another connection may be tried. Nothing is final of servers that were not asked.
    fn can_dial(&mut self) -> bool {
        self.is_final &= self.dials_left > 0;
        self.dials_left > 0
    }

    /// Finds out where a server is, and how it has to be spoken to.
    async fn place<'b>(&self, host: &'b str) -> Result<Place<'b>, Problem> {
        let problem = |status, text: String, is_final| {
            let response = Response::local(451, status, text);
            Problem { host: host.to_owned(), response, is_final }
        };
        // RFC 3463 §3.5: the directory cannot be asked, or leads nowhere.
        let unresolved = |error: DnsError| {
            let status = if error.is_temporary() { [4, 4, 3] } else { [4, 4, 4] };
            problem(status, format!("{host}: {error}"), !error.is_temporary())
        };
        let found = self.inner.addresses(self.route, host).await.map_err(unresolved)?;
        let mut reached = found.records.clone();
        reached.retain(|address| self.inner.reach.allows(*address));
        let addresses = interleave(&reached);
        if addresses.is_empty() {
            let text = format!("{host} has no address that may be dialled");
            return Err(problem([4, 4, 4], text, true));
        }
        let tlsa = async {
            let bases = self.inner.tlsa_bases(self.route, host, &found).await?;
            self.inner.tlsa(bases).await
        };
        let tlsa = tlsa.await.map_err(|error| {
            self.count_lookup_failure(host, &error);
            unresolved(error)
        })?;
        let (base, tlsa) = tlsa.unwrap_or_else(|| (host.to_owned(), Vec::new()));
        let policy = self.route.policy.policy.as_deref();
        let (domain, is_signed) = (self.route.domain.as_str(), self.route.is_signed);
        let (base, tlsa, wish) = (base.as_str(), tlsa.as_slice(), self.wish);
        let known = Known { host, domain, is_signed, tlsa, base, policy, wish };
        let plan = plan(&known).map_err(|barred| match barred {
            Barred::NotNamed => {
                let text = format!("{host} is not named by the policy of {domain}");
                let kind = FailureKind::ValidationFailure;
                let failure = Failure::new(kind, Some(host), None, &text);
                self.count(&self.subject(Ruler::Sts, &[]), Err(failure));
                problem([4, 7, 5], text, false)
            }
            Barred::NotVouched => {
                let text = format!("nobody vouches for {host} as a server of {domain}");
                problem([4, 7, 10], text, true)
            }
        })?;
        let subject = self.subject(plan.ruler, tlsa);
        Ok(Place { host, addresses, plan, subject })
    }

    /// Hands the message over a connection that rests, or over a new one to an address.
    async fn attempt(
        &mut self,
        place: &Place<'_>,
        demand: &Demand,
        address: Option<IpAddr>,
    ) -> Option<Ended> {
        let config = self.inner.sides.of(demand);
        let errand = self.errand(demand);
        let line = &Line::Server { host: place.host.to_owned(), demand: demand.clone() };
        let peer = Peer { host: &place.plan.name, tls: config.as_ref() };
        let talk = Talk { job: self.job, errand: &errand, peer, line, pool: self.pool };
        let (client, talked) = match address {
            None => talk.resume().await?,
            Some(address) => {
                let at = SocketAddr::from((address, self.inner.settings.port));
                debug!(id = %self.job.id, host = place.host, %at, ?demand, "dialling");
                talk.begin(Link::dial(at).await.map(Link::Clear)).await
            }
        };
        Some(self.judge(place, demand, address, (client, talked)))
    }

    fn errand(&self, demand: &Demand) -> Errand {
        let tls = match demand {
            Demand::Clear => ClientTls::None,
            Demand::Nothing => ClientTls::Opportunistic,
            Demand::Encryption | Demand::Certificate | Demand::Dane(_) => ClientTls::Required,
        };
        errand(self.job, &self.inner.settings.hostname, tls)
    }

    fn judge(
        &mut self,
        place: &Place<'_>,
        demand: &Demand,
        address: Option<IpAddr>,
        (client, talked): (Client, Result<(), Broken>),
    ) -> Ended {
        let host = place.host;
        self.was_heard |= client.was_heard();
        let fault = fault(&client, &talked);
        if let Some(Fault { kind, reason, .. }) = &fault {
            let failure = Failure::new(*kind, Some(host), address, reason);
            self.count(&place.subject, Err(failure));
        }
        let is_first = place.plan.ladder.first() == Some(demand);
        if fault.is_none() && is_first && client.is_protected() && client.has_begun() {
            self.count(&place.subject, Ok(()));
        }
        if client.has_begun() || matches!(talked, Err(Broken::Body(_))) {
            return Ended::Spoken(outcomes(self.job, host, client, &talked));
        }
        let why = why(host, &talked);
        // They are all told the same of a dialogue that has not come to the message.
        let fate = client.into_fates(&why).into_iter().next();
        let (response, is_refused) = match fate {
            Some(Fate::Refused(response)) => (response, true),
            Some(Fate::Deferred(response) | Fate::Taken(response)) => (response, false),
            None => (why, false),
        };
        // What REQUIRETLS wants is not there, as the server itself has told. RFC 8689 §4.2.1
        let is_lasting = fault.as_ref().is_some_and(|fault| fault.is_lasting);
        let is_final = self.wish == Wish::Required && (is_refused || is_lasting);
        let response = match is_lasting && is_final {
            true => Response::local(550, [5, 7, 10], response.text()),
            false => response,
        };
        self.note(Problem { host: host.to_owned(), response, is_final });
        if fault.is_some() { Ended::Unsafe } else { Ended::Away }
    }

    fn note(&mut self, problem: Problem) {
        debug!(id = %self.job.id, host = problem.host, why = problem.response.text(), "not there");
        self.is_final &= problem.is_final;
        self.problem = Some(problem);
    }

    /// No server has taken the message, or has said that it never will.
    fn end(self) -> Outcomes {
        let domain = &self.job.domain;
        let Some(problem) = self.problem else {
            let reply = Reply::own([4, 4, 4], format!("no server of {domain} was asked"));
            return all(self.job, &Attempt::Deferred(reply));
        };
        if self.is_final {
            return all(self.job, &Attempt::Failed(reply(&problem.response, 5, &problem.host)));
        }
        let reply = reply(&problem.response, 4, &problem.host);
        match self.was_heard {
            true => self.inner.destinations.reached(domain),
            false => self.inner.destinations.failed(domain, &reply),
        }
        all(self.job, &Attempt::Deferred(reply))
    }

    fn subject(&self, ruler: Ruler, tlsa: &[Tlsa]) -> Subject {
        let policy = self.route.policy.policy.as_deref();
        let lines = match ruler {
            Ruler::Nobody => Vec::new(),
            Ruler::Sts => policy.map(Policy::lines).unwrap_or_default(),
            Ruler::Tlsa => tlsa_lines(tlsa),
        };
        Subject::new(&self.route.domain, ruler, lines)
    }

    /// What this server sends by itself is not counted: reports on the way of reports would never
    /// end. Nor is what goes to an address, whose owner cannot say that he wants to know.
    fn count(&self, subject: &Subject, result: Result<(), Failure>) {
        if self.job.terms.origin == Origin::Server || self.route.literal.is_some() {
            return;
        }
        self.inner.counts.count(keys::story_day(self.service.now_secs()), subject, result);
    }

    fn count_lookup_failure(&self, host: &str, error: &DnsError) {
        // RFC 8460 §4.3.2: whatever came, it was no valid record.
        let kind = FailureKind::DnssecInvalid;
        let failure = Failure::new(kind, Some(host), None, &error.to_string());
        self.count(&self.subject(Ruler::Tlsa, &[]), Err(failure));
    }

    /// The policy that the domain announces cannot be had, and none rules instead of it.
    fn count_policy_fault(&self) {
        if let Some(PolicyFault { kind, reason }) = &self.route.policy.fault {
            let failure = Failure::new(*kind, None, None, reason);
            self.count(&self.subject(Ruler::Sts, &[]), Err(failure));
        }
    }
}

/// What was wrong with the TLS of a dialogue.
struct Fault {
    kind: FailureKind,
    reason: String,
    /// Whether it was the server that said so: it does not offer TLS, or has another certificate.
    /// A handshake that breaks may succeed another time.
    is_lasting: bool,
}

fn fault(client: &Client, talked: &Result<(), Broken>) -> Option<Fault> {
    match talked {
        Err(Broken::Tls(error)) => {
            let kind = failure_kind(error);
            let is_lasting = kind != FailureKind::ValidationFailure;
            Some(Fault { kind, reason: handshake_fault(error), is_lasting })
        }
        _ if client.lacks_tls() => {
            let is_lasting = !client.offers_tls();
            let word = if is_lasting { "offer" } else { "begin" };
            let reason = format!("the server does not {word} TLS");
            Some(Fault { kind: FailureKind::StarttlsNotSupported, reason, is_lasting })
        }
        _ => None,
    }
}

/// RFC 3463 §3.2
fn no_domain(text: &str) -> Attempt {
    Attempt::Failed(Reply::own([5, 1, 2], text))
}

fn unroutable(why: NoHost) -> Attempt {
    match why {
        // RFC 7505 §3, §5.1
        NoHost::NullMx => {
            Attempt::Failed(Reply::own([5, 1, 10], "the domain takes no mail (null MX)"))
        }
        // RFC 3463 §3.5
        NoHost::Loop => {
            let text = "this server is the best one for the domain, and does not keep its mail";
            Attempt::Failed(Reply::own([5, 4, 6], text))
        }
    }
}

fn unresolved(domain: &str, error: &DnsError) -> Attempt {
    let told = |status| Reply::own(status, format!("{domain}: {error}"));
    match error {
        DnsError::NoSuchName { .. } | DnsError::BadName => Attempt::Failed(told([5, 1, 2])),
        DnsError::NoRecords { .. } => Attempt::Failed(told([5, 4, 4])),
        DnsError::Bogus(_) | DnsError::Temporary(_) => Attempt::Deferred(told([4, 4, 3])),
    }
}

/// Connections that are tried for one message.
const DIALS_MAX: usize = 16;
