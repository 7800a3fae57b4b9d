//! What is thought of what was seen: pure functions, one for each check.

use std::net::IpAddr;

use super::facts::{Clock, DomainFacts, Facts, Listed, Moment, Outbound, Port, PortState, Reverse};
use super::{Finding, Grade};
use crate::records::{Data, Lookup, SendersPolicy, is_senders_policy};

/// Judges everything, in the order in which it should be mended.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![clock(facts.clock), memory(facts.memory_bytes), disk(facts.disk_bytes)];
    all.extend(facts.ports.iter().map(|at| port(at, facts.moment)));
    all.push(inbound(&facts.ports));
    all.push(outbound(&facts.outbound));
    all.extend(address(&facts.addresses));
    all.push(host(facts));
    all.extend(facts.reverse.iter().map(|of| reverse(of, &facts.hostname, facts.moment)));
    all.extend(facts.lists.iter().map(listed));
    for domain in &facts.domains {
        if facts.moment == Moment::Before {
            all.push(exchangers(domain, &facts.hostname));
            all.push(senders(domain));
        }
        all.push(signatures(domain, facts.validates));
    }
    all
}

fn clock(clock: Clock) -> Finding {
    let remedy = "let the clock follow others: timedatectl set-ntp true, or install chrony";
    if clock.now < CLOCK_EARLIEST_SECS {
        return Finding::fail("clock", "it is in the past", remedy);
    }
    match clock.is_synchronized {
        Some(true) => Finding::ok("clock", "follows the clocks of others"),
        Some(false) => Finding::warn("clock", "follows no other clock", remedy),
        None => Finding::warn("clock", "whether it follows others is not known", remedy),
    }
}

fn memory(bytes: Option<u64>) -> Finding {
    let remedy = "give the machine 1 GiB or more";
    match bytes {
        None => Finding::warn("memory", "how much there is is not known", remedy),
        Some(bytes) if bytes < MEMORY_BYTES_MIN => {
            Finding::fail("memory", format!("only {} MiB", bytes >> 20), remedy)
        }
        Some(bytes) if bytes < MEMORY_BYTES_GOOD => {
            Finding::warn("memory", format!("only {} MiB", bytes >> 20), remedy)
        }
        Some(bytes) => Finding::ok("memory", format!("{} MiB", bytes >> 20)),
    }
}

fn disk(bytes: Option<u64>) -> Finding {
    let remedy = "make room, or keep the data on another disk";
    match bytes {
        None => Finding::warn("disk", "how much is free is not known", remedy),
        Some(bytes) if bytes < DISK_BYTES_MIN => {
            Finding::fail("disk", format!("only {} MiB are free", bytes >> 20), remedy)
        }
        Some(bytes) if bytes < DISK_BYTES_GOOD => {
            Finding::warn("disk", format!("only {} MiB are free", bytes >> 20), remedy)
        }
        Some(bytes) => Finding::ok("disk", format!("{} GiB are free", bytes >> 30)),
    }
}

fn port(port: &Port, moment: Moment) -> Finding {
    let what = format!("port {} ({})", port.address, port.protocol);
    match (&port.state, moment) {
        (PortState::Free, Moment::Before) => Finding::ok(what, "is free"),
        (PortState::Free, Moment::After) => {
            Finding::fail(what, "nobody answers", "start the server: systemctl start pillarbox")
        }
        (PortState::Ours, _) => Finding::ok(what, "is served"),
        (PortState::Taken, _) => Finding::fail(
            what,
            "another program listens there",
            "find it with `ss -ltnp`, stop it and keep it from starting again",
        ),
        (PortState::Denied, _) => Finding::fail(
            what,
            "the system does not let us listen there",
            "run this as root, or give the program CAP_NET_BIND_SERVICE",
        ),
        (PortState::Failed(reason), _) => {
            Finding::fail(what, reason.as_str(), "see whether the machine has this address")
        }
    }
}

/// From here nobody can see whether the world gets through to here.
fn inbound(ports: &[Port]) -> Finding {
    let what = "inbound port 25";
    match ports.iter().find(|port| port.protocol == "smtp") {
        None => Finding::warn(
            what,
            "nothing is to listen for mail of others",
            "add a [[listen]] section with protocol = \"smtp\"",
        ),
        Some(port) => match &port.state {
            PortState::Free | PortState::Ours => Finding::ok(
                what,
                "can be served here; that the world gets through to it cannot be proved from \
                 here: open it in the firewall, and write to yourself from elsewhere",
            ),
            _ => Finding::fail(what, "cannot be served", "free the port, as said above"),
        },
    }
}

fn outbound(outbound: &Outbound) -> Finding {
    let what = "outbound port 25";
    match outbound {
        Outbound::Greeted { server } => Finding::ok(what, format!("{server} greeted")),
        Outbound::Odd { server, said } => Finding::warn(
            what,
            format!("{server} answered, but not as a mail server: {said}"),
            "something in between answers in its place; ask your provider",
        ),
        Outbound::Unreached { server, reason } => Finding::fail(
            what,
            format!("{server} cannot be reached: {reason}"),
            "many providers open port 25 on request; else let mail leave through a [[relay]]",
        ),
        Outbound::NoTarget(reason) => Finding::warn(
            what,
            format!("no server to try: {reason}"),
            "name one with --probe HOST:25",
        ),
        Outbound::Relayed => Finding::ok(what, "not needed: all mail leaves through a relay"),
        Outbound::Closed => Finding::warn(
            what,
            "mail for other systems is refused",
            "add [outbound] with direct = true, or a [[relay]]",
        ),
    }
}

/// A machine behind a router that translates addresses does not see its own.
fn address(addresses: &[IpAddr]) -> Option<Finding> {
    let said = "where the world reaches this machine is not known";
    let remedy = "name its public address with --address";
    addresses.is_empty().then(|| Finding::warn("address", said, remedy))
}

fn host(facts: &Facts) -> Finding {
    let what = format!("host name {}", facts.hostname);
    if !facts.hostname.contains('.') {
        let said = "is not the full name of a host";
        return Finding::fail(what, said, "name it with --hostname mail.example.org");
    }
    match (&facts.host, facts.moment) {
        (Lookup::Failed(reason), _) => Finding::warn(
            what,
            format!("its addresses are not known: {reason}"),
            "see that this machine can resolve names",
        ),
        (Lookup::Absent { .. }, Moment::Before) => Finding::warn(
            what,
            "has no address yet",
            "set its A and AAAA records, as told at the end",
        ),
        (Lookup::Absent { .. }, Moment::After) => {
            Finding::fail(what, "has no address", "set its A and AAAA records")
        }
        (Lookup::Found { records, .. }, _) => {
            let is_ours = |address: &IpAddr| facts.addresses.contains(address);
            match (records.iter().any(is_ours), facts.addresses.is_empty()) {
                (true, _) => Finding::ok(what, format!("leads to {}", joined(records))),
                (false, true) => Finding::warn(
                    what,
                    format!("leads to {}; whether that is here is not known", joined(records)),
                    "name this machine's public address with --address",
                ),
                (false, false) => {
                    let (there, here) = (joined(records), joined(&facts.addresses));
                    let said = format!("leads to {there}, but this machine is {here}");
                    let remedy = "set its records, or name the right address with --address";
                    Finding::fail(what, said, remedy)
                }
            }
        }
    }
}

/// Many servers refuse mail of a host whose address does not lead to a name and back. RFC 8601
/// §2.7.3 has it as `iprev`.
fn reverse(reverse: &Reverse, hostname: &str, moment: Moment) -> Finding {
    let finding = reverse_at_last(reverse, hostname);
    match (moment, finding.grade) {
        // Most providers want the address of the name to be set first.
        (Moment::Before, Grade::Fail) => Finding { grade: Grade::Warn, ..finding },
        _ => finding,
    }
}

fn reverse_at_last(reverse: &Reverse, hostname: &str) -> Finding {
    let what = format!("PTR of {}", reverse.address);
    let remedy = format!("ask the provider of the address to set its PTR record to {hostname}");
    match &reverse.names {
        Lookup::Failed(reason) => {
            let remedy = "see that this machine can resolve names";
            Finding::warn(what, format!("not known: {reason}"), remedy)
        }
        Lookup::Absent { .. } => {
            Finding::fail(what, "is missing: many servers refuse mail from there", remedy)
        }
        Lookup::Found { records, .. } => {
            let is_ours = |name: &String| name.eq_ignore_ascii_case(hostname);
            match (records.iter().any(is_ours), reverse.confirmed.first()) {
                _ if reverse.confirmed.iter().any(is_ours) => {
                    Finding::ok(what, format!("is {hostname}, which leads back"))
                }
                (true, _) => Finding::fail(
                    what,
                    format!("is {hostname}, which does not lead back to it"),
                    "set the address record of the host name",
                ),
                (false, Some(other)) => {
                    Finding::warn(what, format!("is {other}, another name of it"), remedy)
                }
                (false, None) => {
                    let names = records.join(", ");
                    Finding::fail(what, format!("is {names}, which does not lead back"), remedy)
                }
            }
        }
    }
}

/// RFC 5782 §2.1: listed is what has an address within 127.0.0.0/8. Lists use 127.255.255.0/24 to
/// say that they do not answer those who ask through a public resolver.
fn listed(listed: &Listed) -> Finding {
    let what = format!("{} in {}", listed.address, listed.zone);
    let is_code = |address: &&IpAddr| match address {
        IpAddr::V4(address) => address.octets().starts_with(&[127]),
        IpAddr::V6(_) => false,
    };
    let is_refusal = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets().starts_with(&[127, 255, 255]),
        IpAddr::V6(_) => false,
    };
    let resolver = "ask through a resolver of your own, or look it up on the list's web site";
    match &listed.answer {
        Lookup::Absent { .. } => Finding::ok(what, "is not listed"),
        Lookup::Failed(reason) => Finding::warn(what, format!("not known: {reason}"), resolver),
        Lookup::Found { records, .. } => match records.iter().find(is_code) {
            Some(code) if is_refusal(code) => {
                Finding::warn(what, "the list does not answer this resolver", resolver)
            }
            Some(code) => Finding::fail(
                what,
                format!("is listed ({code}): many servers refuse mail from there"),
                "see on the list's web site why, mend it, and ask for removal",
            ),
            None => Finding::warn(what, "gave an answer that no list gives", resolver),
        },
    }
}

fn exchangers(domain: &DomainFacts, hostname: &str) -> Finding {
    let what = format!("MX of {}", domain.name);
    let exchange = |data: &Data| match data {
        Data::Mx { exchange, .. } => Some(exchange.clone()),
        _ => None,
    };
    match &domain.mx {
        Lookup::Failed(reason) => {
            Finding::warn(what, format!("not known: {reason}"), "see that the domain has a zone")
        }
        Lookup::Absent { .. } => Finding::ok(what, "there is none yet"),
        Lookup::Found { records, .. } => {
            let all: Vec<_> = records.iter().filter_map(exchange).collect();
            if all.iter().any(|name| name == hostname) {
                return Finding::ok(what, "leads here already");
            }
            let remedy = "move its mailboxes first; mail comes here once the record is changed";
            Finding::warn(what, format!("its mail goes to {} today", all.join(", ")), remedy)
        }
    }
}

fn senders(domain: &DomainFacts) -> Finding {
    let what = format!("SPF of {}", domain.name);
    if let Lookup::Failed(reason) = &domain.txt {
        let remedy = "see that the domain has a zone";
        return Finding::warn(what, format!("not known: {reason}"), remedy);
    }
    let policy = |data: &Data| match data {
        Data::Txt(text) if is_senders_policy(text) => Some(text.clone()),
        _ => None,
    };
    let all: Vec<_> = domain.txt.records().iter().filter_map(policy).collect();
    match all.as_slice() {
        [] => Finding::ok(what, "there is none yet"),
        [one] if domain.senders.policy() == SendersPolicy::Lets => {
            Finding::ok(what, format!("lets this server send: {one}"))
        }
        // It will be one of them.
        [one] if one.split(' ').any(|term| term == "mx") => {
            Finding::ok(what, format!("lets the mail exchangers send: {one}"))
        }
        [one] => {
            let remedy = "add mx to it, and keep what else sends for the domain";
            Finding::warn(what, format!("others send for the domain today: {one}"), remedy)
        }
        _ => Finding::fail(what, "there are several, which is an error", "merge them into one"),
    }
}

fn signatures(domain: &DomainFacts, validates: bool) -> Finding {
    let what = format!("DNSSEC of {}", domain.name);
    if !validates {
        let remedy = "use a resolver that passes signatures on, as unbound on this machine";
        let said = "signatures do not get through to here, so nothing is known";
        return Finding::warn(what, said, remedy);
    }
    match domain.mx.is_secure() {
        Some(true) => Finding::ok(what, "the zone is signed"),
        Some(false) => Finding::warn(
            what,
            "the zone is not signed, so DANE is not possible",
            "let the provider of the domain sign it; mail flows without",
        ),
        None => Finding::warn(what, "not known", "see that the domain has a zone"),
    }
}

fn joined(addresses: &[IpAddr]) -> String {
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// 2026-01-01: no clock that is right is behind the program.
const CLOCK_EARLIEST_SECS: i64 = 1_767_225_600;

/// A server with few accounts runs in it, but a password hash alone takes 19 MiB or more.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

/// Without filters beside it nothing needs more. A machine of 1 GiB has a little less for us.
const MEMORY_BYTES_GOOD: u64 = 900 << 20;

/// The log and its reserve, and a day of mail.
const DISK_BYTES_MIN: u64 = 1 << 30;

/// Mailboxes grow.
const DISK_BYTES_GOOD: u64 = 10 << 30;

#[cfg(test)]
mod tests {
    use sender_auth::SpfResult;

    use super::*;
    use crate::checks::worst;
    use crate::records::Senders;

    fn here() -> IpAddr {
        "192.0.2.25".parse().unwrap()
    }

    fn found<T>(records: Vec<T>) -> Lookup<T> {
        Lookup::Found { records, secure: true }
    }

    fn absent<T>() -> Lookup<T> {
        Lookup::Absent { secure: false }
    }

    fn failed<T>() -> Lookup<T> {
        Lookup::Failed("time".into())
    }

    const HOST: &str = "mail.example.org";

    /// A machine with which nothing is wrong.
    fn facts() -> Facts {
        let port = Port { address: "[::]:25".into(), protocol: "smtp", state: PortState::Free };
        Facts {
            moment: Moment::Before,
            hostname: HOST.into(),
            addresses: vec![here()],
            host: found(vec![here()]),
            reverse: vec![names_of(found(vec![HOST.into()]), &[HOST])],
            ports: vec![port],
            outbound: Outbound::Greeted { server: "mx.example.net".into() },
            clock: Clock { now: CLOCK_EARLIEST_SECS, is_synchronized: Some(true) },
            memory_bytes: Some(1 << 30),
            disk_bytes: Some(20 << 30),
            lists: vec![on_list(absent())],
            domains: vec![domain(Lookup::Absent { secure: true }, absent())],
            validates: true,
        }
    }

    fn names_of(names: Lookup<String>, confirmed: &[&str]) -> Reverse {
        let confirmed = confirmed.iter().map(|&name| name.to_owned()).collect();
        Reverse { address: here(), names, confirmed }
    }

    fn on_list(answer: Lookup<IpAddr>) -> Listed {
        Listed { zone: "list.example".into(), address: here(), answer }
    }

    fn domain(mx: Lookup<Data>, txt: Lookup<Data>) -> DomainFacts {
        DomainFacts { name: "example.org".into(), mx, txt, senders: Senders::default() }
    }

    #[test]
    fn a_good_machine_is_ok_and_every_trouble_has_a_remedy() {
        let findings = judge(&facts());
        assert_eq!(worst(&findings), Grade::Ok, "{findings:?}");
        assert_eq!(findings.len(), 12);
        assert!(findings.iter().all(|finding| finding.remedy.is_none()));
    }

    #[test]
    fn the_clock_is_ok_unknown_or_wrong() {
        let grade = |now, is_synchronized| clock(Clock { now, is_synchronized }).grade;
        assert_eq!(grade(CLOCK_EARLIEST_SECS, Some(true)), Grade::Ok);
        assert_eq!(grade(CLOCK_EARLIEST_SECS, Some(false)), Grade::Warn);
        assert_eq!(grade(CLOCK_EARLIEST_SECS, None), Grade::Warn);
        assert_eq!(grade(CLOCK_EARLIEST_SECS - 1, Some(true)), Grade::Fail);
    }

    #[test]
    fn memory_and_disk_are_enough_little_or_too_little() {
        assert_eq!(memory(Some(MEMORY_BYTES_GOOD)).grade, Grade::Ok);
        assert_eq!(memory(Some(MEMORY_BYTES_GOOD - 1)).grade, Grade::Warn);
        assert_eq!(memory(None).grade, Grade::Warn);
        assert_eq!(memory(Some(MEMORY_BYTES_MIN - 1)).grade, Grade::Fail);
        assert_eq!(disk(Some(DISK_BYTES_GOOD)).grade, Grade::Ok);
        assert_eq!(disk(Some(DISK_BYTES_GOOD - 1)).grade, Grade::Warn);
        assert_eq!(disk(None).grade, Grade::Warn);
        assert_eq!(disk(Some(DISK_BYTES_MIN - 1)).grade, Grade::Fail);
    }

    #[test]
    fn a_free_port_is_good_before_and_bad_afterwards() {
        let grade = |state, moment| {
            let at = Port { address: "[::]:993".into(), protocol: "imap", state };
            port(&at, moment).grade
        };
        assert_eq!(grade(PortState::Free, Moment::Before), Grade::Ok);
        assert_eq!(grade(PortState::Free, Moment::After), Grade::Fail);
        assert_eq!(grade(PortState::Ours, Moment::Before), Grade::Ok);
        assert_eq!(grade(PortState::Ours, Moment::After), Grade::Ok);
        for state in [PortState::Taken, PortState::Denied, PortState::Failed("x".into())] {
            assert_eq!(grade(state.clone(), Moment::Before), Grade::Fail);
            assert_eq!(grade(state, Moment::After), Grade::Fail);
        }
    }

    #[test]
    fn inbound_mail_needs_a_port_and_its_limits_are_said() {
        let at = |state| [Port { address: "[::]:25".into(), protocol: "smtp", state }];
        let ok = inbound(&at(PortState::Free));
        assert_eq!(ok.grade, Grade::Ok);
        assert!(ok.said.contains("cannot be proved from here"));
        assert_eq!(inbound(&at(PortState::Taken)).grade, Grade::Fail);
        assert_eq!(inbound(&[]).grade, Grade::Warn);
    }

    #[test]
    fn outbound_mail_is_greeted_misled_or_blocked() {
        let server = || "mx.example.net".to_owned();
        let reason = || "timed out".to_owned();
        for (seen, grade) in [
            (Outbound::Greeted { server: server() }, Grade::Ok),
            (Outbound::Relayed, Grade::Ok),
            (Outbound::Closed, Grade::Warn),
            (Outbound::Odd { server: server(), said: "HTTP".into() }, Grade::Warn),
            (Outbound::NoTarget(reason()), Grade::Warn),
            (Outbound::Unreached { server: server(), reason: reason() }, Grade::Fail),
        ] {
            assert_eq!(outbound(&seen).grade, grade, "{seen:?}");
        }
    }

    #[test]
    fn the_host_name_leads_here_nowhere_or_elsewhere() {
        let grade = |facts: Facts| host(&facts).grade;
        let other = || found(vec!["198.51.100.1".parse().unwrap()]);
        assert_eq!(grade(facts()), Grade::Ok);
        assert_eq!(grade(Facts { host: absent(), ..facts() }), Grade::Warn);
        let after = Facts { host: absent(), moment: Moment::After, ..facts() };
        assert_eq!(grade(after), Grade::Fail);
        assert_eq!(grade(Facts { host: failed(), ..facts() }), Grade::Warn);
        assert_eq!(grade(Facts { host: other(), ..facts() }), Grade::Fail);
        let nowhere = Facts { host: other(), addresses: Vec::new(), ..facts() };
        assert_eq!(grade(nowhere), Grade::Warn);
        assert_eq!(grade(Facts { hostname: "mail".into(), ..facts() }), Grade::Fail);
    }

    #[test]
    fn an_address_that_is_not_known_is_asked_for() {
        let nowhere = Facts { addresses: Vec::new(), reverse: Vec::new(), ..facts() };
        let findings = judge(&nowhere);
        let asked = findings.iter().find(|finding| finding.what == "address").unwrap();
        assert_eq!(asked.grade, Grade::Warn);
        assert!(!judge(&facts()).iter().any(|finding| finding.what == "address"));
    }

    #[test]
    fn the_name_of_an_address_is_confirmed_only_if_it_leads_back() {
        let at = |names, confirmed: &[&str], moment| {
            reverse(&names_of(names, confirmed), HOST, moment).grade
        };
        let grade = |names, confirmed: &[&str]| at(names, confirmed, Moment::After);
        let ours = || found(vec![HOST.to_owned()]);
        let other = || found(vec!["host-25.example.net".to_owned()]);
        assert_eq!(grade(ours(), &[HOST]), Grade::Ok);
        assert_eq!(grade(found(vec!["a.example".into(), HOST.into()]), &[HOST]), Grade::Ok);
        assert_eq!(grade(other(), &["host-25.example.net"]), Grade::Warn);
        assert_eq!(grade(failed(), &[]), Grade::Warn);
        assert_eq!(grade(ours(), &[]), Grade::Fail);
        assert_eq!(grade(other(), &[]), Grade::Fail);
        assert_eq!(grade(absent(), &[]), Grade::Fail);
        // Before the set-up the name may have no address yet.
        assert_eq!(at(ours(), &[], Moment::Before), Grade::Warn);
        assert_eq!(at(absent(), &[], Moment::Before), Grade::Warn);
        assert_eq!(at(ours(), &[HOST], Moment::Before), Grade::Ok);
    }

    #[test]
    fn only_codes_of_lists_count_as_listed() {
        let grade = |answer| listed(&on_list(answer)).grade;
        let code = |address: &str| found(vec![address.parse().unwrap()]);
        assert_eq!(grade(absent()), Grade::Ok);
        assert_eq!(grade(failed()), Grade::Warn);
        assert_eq!(grade(code("127.0.0.2")), Grade::Fail);
        assert_eq!(grade(code("127.255.255.254")), Grade::Warn);
        // A resolver that leads every unknown name to a page of its own.
        assert_eq!(grade(code("198.51.100.1")), Grade::Warn);
    }

    #[test]
    fn mail_that_goes_elsewhere_today_is_told_before_it_is_moved() {
        let mx = |name: &str| found(vec![Data::Mx { preference: 10, exchange: name.into() }]);
        let grade = |mx| exchangers(&domain(mx, absent()), HOST).grade;
        assert_eq!(grade(absent()), Grade::Ok);
        assert_eq!(grade(mx(HOST)), Grade::Ok);
        assert_eq!(grade(mx("mx.example.net")), Grade::Warn);
        assert_eq!(grade(failed()), Grade::Warn);
        let spf = |texts: &[&str]| {
            let texts = texts.iter().map(|&text| Data::Txt(text.into())).collect();
            senders(&domain(absent(), found(texts))).grade
        };
        assert_eq!(spf(&["hello"]), Grade::Ok);
        assert_eq!(spf(&["v=spf1 mx -all"]), Grade::Ok);
        assert_eq!(spf(&["v=spf1 include:x.example -all"]), Grade::Warn);
        assert_eq!(spf(&["v=spf1 -all", "v=spf1 mx -all"]), Grade::Fail);
        let text = found(vec![Data::Txt("v=spf1 include:x.example -all".into())]);
        let ours = vec![(here(), SpfResult::Pass)];
        let of_ours = Senders { ours, nobody: Some(SpfResult::Fail) };
        let lets = DomainFacts { senders: of_ours, ..domain(absent(), text) };
        assert_eq!(senders(&lets).grade, Grade::Ok);
        assert_eq!(senders(&domain(absent(), failed())).grade, Grade::Warn);
    }

    #[test]
    fn a_zone_is_signed_unsigned_or_out_of_sight() {
        let grade = |mx, validates| signatures(&domain(mx, absent()), validates).grade;
        assert_eq!(grade(Lookup::Absent { secure: true }, true), Grade::Ok);
        assert_eq!(grade(Lookup::Absent { secure: false }, true), Grade::Warn);
        assert_eq!(grade(Lookup::Absent { secure: true }, false), Grade::Warn);
        assert_eq!(grade(failed(), true), Grade::Warn);
    }

    #[test]
    fn the_doctor_leaves_mx_and_spf_to_the_comparison_of_records() {
        let findings = judge(&Facts { moment: Moment::After, ..facts() });
        assert!(!findings.iter().any(|finding| finding.what.starts_with("MX")), "{findings:?}");
    }
}
