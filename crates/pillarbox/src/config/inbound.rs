//! `[inbound]`: what mail of strangers must pass.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mail_service::{GreylistTerms, LIFETIME_DAYS_MAX, WINDOW_HOURS_MAX};
use sender_auth::{Enforcement, Settings as SenderSettings, SpfFail};
use smtp::{BlockList, Filter, FilterProgram, ListAction, Network};

use super::is_domain;
use super::reader::Table;

/// What mail of strangers must pass.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPlace {
    /// Networks whose clients are asked nothing.
    pub trusted: Vec<Network>,
    /// How SPF, DKIM, DMARC and ARC are used; `None` when they are not looked at.
    pub senders: Option<SenderSettings>,
    /// Lists of clients that misbehave.
    pub lists: Vec<BlockList>,
    /// How strangers are greylisted, if they are.
    pub greylist: Option<GreylistTerms>,
    /// The content filter, and how long it may take.
    pub filter: Option<(FilterPlace, Duration)>,
}

/// What looks at the contents of mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterPlace {
    /// A server at this address.
    Url(String),
    /// A program.
    Program(FilterProgram),
}

impl Default for InboundPlace {
    fn default() -> Self {
        Self {
            trusted: Network::loopback(),
            senders: Some(SenderSettings::default()),
            lists: Vec::new(),
            greylist: None,
            filter: None,
        }
    }
}

/// Reads the section.
pub fn inbound(root: &Table<'_>) -> InboundPlace {
    let mut place = InboundPlace::default();
    let Some(table) = root.table("inbound") else { return place };
    table.only(&[
        "verify",
        "dmarc",
        "spf_fail",
        "trusted_sealers",
        "trusted_networks",
        "block_lists",
        "greylist",
        "filter",
    ]);
    if table.has("trusted_networks") {
        place.trusted = networks(&table);
    }
    place.senders = senders(&table);
    place.lists = lists(&table);
    place.greylist = table.table("greylist").map(|table| greylist(&table));
    place.filter = table.table("filter").and_then(|table| filter(&table));
    place
}

fn networks(table: &Table<'_>) -> Vec<Network> {
    let mut networks = Vec::new();
    for (line, text) in table.texts("trusted_networks") {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) => {
                let problem = format!("trusted_networks has {text:?}, which is no network");
                table.mistake(line, problem, "write an address, or one such as 192.0.2.0/24");
            }
        }
    }
    networks
}

fn senders(table: &Table<'_>) -> Option<SenderSettings> {
    let word = |key, choices| if table.has(key) { table.choice(key, choices) } else { None };
    let dmarc = word("dmarc", DMARC).map(|(_, enforcement)| enforcement);
    let spf_fail = if table.has("spf_fail") { table.choice("spf_fail", SPF_FAIL) } else { None };
    let mut trusted_sealers = Vec::new();
    for (line, name) in table.texts("trusted_sealers") {
        if is_domain(&name) {
            trusted_sealers.push(name.to_ascii_lowercase());
        } else {
            let problem = format!("trusted_sealers has {name:?}, which is not a domain name");
            table.mistake(line, problem, "write a name such as lists.example.org");
        }
    }
    if table.truth("verify") == Some(false) {
        for key in ["dmarc", "spf_fail", "trusted_sealers"] {
            if let Some(line) = table.line_of(key) {
                let problem = format!("nothing is verified, so {key} says nothing");
                table.mistake(line, problem, "remove it, or verify = false");
            }
        }
        return None;
    }
    Some(SenderSettings {
        dmarc: dmarc.unwrap_or_default(),
        spf_fail: spf_fail.map(|(_, spf_fail)| spf_fail).unwrap_or_default(),
        trusted_sealers,
    })
}

fn lists(table: &Table<'_>) -> Vec<BlockList> {
    let (mut lists, all) = (Vec::<BlockList>::new(), table.tables("block_lists"));
    for table in &all {
        table.only(&["zone", "action"]);
        let (zone, action) = (table.text("zone"), table.choice("action", LIST_ACTIONS));
        let (Some((line, zone)), Some((_, action))) = (zone, action) else { continue };
        let zone = zone.to_ascii_lowercase();
        if !is_domain(&zone) {
            let problem = format!("zone {zone:?} is not a domain name");
            table.mistake(line, problem, "write the zone of the list, such as list.example.org");
        } else if lists.iter().any(|list| list.zone == zone) {
            let problem = format!("{zone} is named twice");
            table.mistake(line, problem, "name each list once");
        } else if lists.len() == LISTS_MAX {
            let problem = format!("more than {LISTS_MAX} lists are named");
            table.mistake(line, problem, "each client waits for all of them: keep the best");
        } else {
            lists.push(BlockList { zone, action });
        }
    }
    lists
}

fn greylist(table: &Table<'_>) -> GreylistTerms {
    table.only(&["delay_minutes", "window_hours", "lifetime_days"]);
    let number = |key, range, usual: u32| i64::from(table.number(key, range).unwrap_or(usual));
    // RFC 6647 §5: between a minute and a day.
    let delay_secs = 60 * number("delay_minutes", 1..=24 * 60, 5);
    let window_secs = 3600 * number("window_hours", 1..=WINDOW_HOURS_MAX, 48);
    let lifetime_secs = 86_400 * number("lifetime_days", 1..=LIFETIME_DAYS_MAX, 36);
    if delay_secs >= window_secs
        && let Some(line) = table.line_of("delay_minutes").or(table.line_of("window_hours"))
    {
        let problem = "who comes again in time is told that it is too early".to_owned();
        table.mistake(line, problem, "choose a longer window_hours, or a shorter delay_minutes");
    }
    GreylistTerms { delay_secs, window_secs, lifetime_secs }
}

fn filter(table: &Table<'_>) -> Option<(FilterPlace, Duration)> {
    table.only(&["url", "program", "junk_status", "reject_status", "timeout_seconds"]);
    let timeout = table.number("timeout_seconds", 1..=240).unwrap_or(TIMEOUT_SECS);
    let timeout = Duration::from_secs(u64::from(timeout));
    if !table.has("program") {
        for key in ["junk_status", "reject_status"] {
            if let Some(line) = table.line_of(key) {
                let problem = format!("{key} is for a program");
                table.mistake(line, problem, "remove it, or use program in place of url");
            }
        }
        return filter_url(table, timeout).map(|url| (FilterPlace::Url(url), timeout));
    }
    if let Some(line) = table.line_of("url") {
        let problem = "a filter is either a url or a program".to_owned();
        table.mistake(line, problem, "remove one of them");
    }
    filter_program(table).map(|program| (FilterPlace::Program(program), timeout))
}

fn filter_url(table: &Table<'_>, timeout: Duration) -> Option<String> {
    let (line, url) = table.text("url")?;
    if let Err(error) = Filter::new(&url, timeout) {
        let problem = format!("url {url:?}: {error}");
        table.mistake(line, problem, "write one such as http://127.0.0.1:11333/checkv2");
        return None;
    }
    if !url.starts_with("https://") && !is_on_this_machine(&url) {
        let problem = format!("without TLS everyone on the way to {url} can read the mail");
        table.mistake(line, problem, "use https, or a filter on this machine");
    }
    Some(url)
}

fn filter_program(table: &Table<'_>) -> Option<FilterProgram> {
    let line = table.line_of("program")?;
    let mut words = table.texts("program").into_iter().map(|(_, word)| word);
    // It must be the same program wherever the server was started.
    let Some(program) = words.next().map(PathBuf::from).filter(|path| path.is_absolute()) else {
        let problem = "program does not begin with the path of one".to_owned();
        table.mistake(line, problem, "write one such as [\"/usr/bin/spamassassin\", \"-e\"]");
        return None;
    };
    let arguments = words.collect();
    let statuses = |key| table.octets(key).into_iter().map(|(_, status)| status).collect();
    let (junk, reject): (Vec<u8>, Vec<u8>) = (statuses("junk_status"), statuses("reject_status"));
    if !table.has("junk_status") && !table.has("reject_status") {
        let problem = "no exit status of the program makes mail junk or refuses it".to_owned();
        table.mistake(line, problem, "add junk_status = [1], or whatever it exits with");
    }
    if junk.iter().chain(&reject).any(|status| *status == 0)
        || junk.iter().any(|status| reject.contains(status))
    {
        let problem = "an exit status of the program means two things".to_owned();
        table.mistake(line, problem, "0 takes mail; name each other one once");
    }
    Some(FilterProgram { program, arguments, junk, reject })
}

fn is_on_this_machine(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((six, _)) => six,
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

const DMARC: &[(&str, Enforcement)] = &[
    ("apply", Enforcement::Apply),
    ("quarantine", Enforcement::Quarantine),
    ("report", Enforcement::Report),
];

const SPF_FAIL: &[(&str, SpfFail)] = &[("report", SpfFail::Report), ("reject", SpfFail::Reject)];

const LIST_ACTIONS: &[(&str, ListAction)] =
    &[("reject", ListAction::Reject), ("junk", ListAction::Junk)];

/// Every client waits for all of them.
const LISTS_MAX: usize = 8;

const TIMEOUT_SECS: u32 = 30;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const BASE: &str = "data='d'\nhostname='h'\ndomains=['example.org']\n[[listen]]\n\
                        protocol='smtp'\naddress='127.0.0.1:25'\ntls='starttls'\n";

    fn read(text: &str) -> Result<InboundPlace, Vec<String>> {
        let config = Config::parse(&format!("{BASE}{text}"), Path::new("/etc/p"));
        let told = |mistakes: Vec<crate::config::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect()
        };
        config.map(|config| config.inbound).map_err(told)
    }

    #[test]
    fn senders_are_verified_and_nothing_else_is_done_unless_it_is_said() {
        assert_eq!(read("").unwrap(), InboundPlace::default());
        assert_eq!(read("[inbound]\n").unwrap(), InboundPlace::default());
        let off = read("[inbound]\nverify=false\ntrusted_networks=[]\n").unwrap();
        assert!(off.senders.is_none() && off.trusted.is_empty());
    }

    #[test]
    fn all_of_it_is_read() {
        let place = read(
            "[inbound]\ndmarc='quarantine'\nspf_fail='reject'\ntrusted_sealers=['Lists.Example']\n\
             trusted_networks=['10.0.0.0/8','::1']\n\
             [inbound.greylist]\ndelay_minutes=10\n\
             [inbound.filter]\nurl='http://[::1]:11333/checkv2'\n\
             [[inbound.block_lists]]\nzone='Zen.example'\naction='reject'\n\
             [[inbound.block_lists]]\nzone='b.example'\naction='junk'\n",
        )
        .unwrap();
        let senders = place.senders.unwrap();
        assert_eq!((senders.dmarc, senders.spf_fail), (Enforcement::Quarantine, SpfFail::Reject));
        assert_eq!(senders.trusted_sealers, ["lists.example"]);
        let trusted: Vec<_> = place.trusted.iter().map(ToString::to_string).collect();
        assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
        let terms = place.greylist.unwrap();
        assert_eq!((terms.delay_secs, terms.window_secs), (600, 48 * 3600));
        assert_eq!(place.filter.unwrap().1, Duration::from_secs(30));
        let lists: Vec<_> = place.lists.iter().map(|it| (it.zone.as_str(), it.action)).collect();
        assert_eq!(lists, [("zen.example", ListAction::Reject), ("b.example", ListAction::Junk)]);
    }

    #[test]
    fn a_filter_may_be_a_program() {
        let place = read(
            "[inbound.filter]\nprogram=['/usr/bin/spamassassin','-e']\njunk_status=[5]\n\
             reject_status=[77]\ntimeout_seconds=60\n",
        );
        let program = FilterProgram {
            program: "/usr/bin/spamassassin".into(),
            arguments: vec!["-e".to_owned()],
            junk: vec![5],
            reject: vec![77],
        };
        let filter = (FilterPlace::Program(program), Duration::from_secs(60));
        assert_eq!(place.unwrap().filter, Some(filter));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            ("trusted_networks=['10.0.0.0/99']", "which is no network"),
            ("verify=false\ndmarc='apply'", "dmarc says nothing"),
            ("dmarc='maybe'", "is not known"),
            ("trusted_sealers=['a b']", "not a domain name"),
            ("greylisting=true", "unknown key"),
            ("[inbound.greylist]\ndelay_minutes=0", "out of range"),
            ("[inbound.greylist]\ndelay_minutes=60\nwindow_hours=1", "too early"),
            ("[inbound.filter]\nurl='rspamd'", "url \"rspamd\""),
            ("[inbound.filter]\nurl='http://filter.example:11333/'", "without TLS"),
            ("[inbound.filter]\nurl='http://localhost.example/'", "without TLS"),
            ("[inbound.filter]\ntimeout_seconds=5", "url is missing"),
            ("[inbound.filter]\nurl='https://f.example/'\njunk_status=[1]", "is for a program"),
            ("[inbound.filter]\nprogram=['spamc']\njunk_status=[1]", "the path of one"),
            ("[inbound.filter]\nprogram=['/bin/x']", "no exit status"),
            ("[inbound.filter]\nprogram=['/bin/x']\njunk_status=[256]", "numbers from 0 to 255"),
            ("[inbound.filter]\nprogram=['/bin/x']\njunk_status=[0]", "means two things"),
            (
                "[inbound.filter]\nprogram=['/bin/x']\njunk_status=[1]\nreject_status=[1]",
                "means two things",
            ),
            (
                "[inbound.filter]\nprogram=['/x']\nurl='https://f.example/'\njunk_status=[1]",
                "either a url or a program",
            ),
            ("[[inbound.block_lists]]\nzone='a b'\naction='junk'", "not a domain name"),
            ("[[inbound.block_lists]]\nzone='a.example'\naction='drop'", "is not known"),
        ] {
            let mistakes = read(&format!("[inbound]\n{text}\n")).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(told), "{told}: {mistakes:?}");
        }
    }
}
