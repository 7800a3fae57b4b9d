//! `pillarbox doctor`: looks whether a server that is set up can do its work, and whether the world
//! is told what it should be.

use std::fmt::Display;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::checks::{self, Finding, Grade, Look, Moment, Questions, WayOut};
use crate::cli::{DnsRecords, Doctor, RecordForm};
use crate::config::{Config, DkimPlace};
use crate::control::ControlClient;
use crate::engine;
use crate::failure::Failure;
use crate::keyring;
use crate::records::{self, KeyUse, PublicKey, Site};
use crate::say;
use crate::web;

mod certificate;

/// Looks once, or until all is well.
///
/// # Errors
/// With exit code 1 if something could be better, 2 if something fails.
pub async fn run(arguments: Doctor) -> Result<(), Failure> {
    let mut before: Option<Vec<Finding>> = None;
    loop {
        // An operator mends the configuration, too, while the doctor watches.
        let config = engine::read_config(&arguments.config)?;
        let findings = examine(&config, &arguments).await?;
        let worst = checks::worst(&findings);
        if arguments.json {
            say::line(json(&findings, worst)?);
        } else {
            match &before {
                None => say::line(checks::text(&findings)),
                Some(before) => {
                    changes(before, &findings).iter().for_each(say::line);
                }
            }
        }
        let is_well = worst == Grade::Ok || (arguments.accept_warnings && worst == Grade::Warn);
        if is_well {
            return Ok(());
        }
        if !arguments.watch {
            return Err(verdict(&findings, worst));
        }
        before = Some(findings);
        tokio::time::sleep(Duration::from_secs(arguments.every.into())).await;
    }
}

/// `pillarbox dns records`: prints the records that a configuration wants.
///
/// # Errors
/// When the configuration cannot be read.
pub async fn print_records(arguments: DnsRecords) -> Result<(), Failure> {
    let config = engine::read_config(&arguments.config)?;
    let look = Look::through(&config.dns)?;
    let addresses = checks::addresses(&arguments.address, &look, &config.hostname).await;
    let host = look.addresses(&config.hostname).await;
    let mut site = site(&config, addresses)?;
    site.only_what_is_possible(host.is_secure());
    let wanted = records::wanted(&site);
    match arguments.form {
        RecordForm::Table => say::line(records::table(&site, &wanted)),
        RecordForm::Zone => say::line(records::zone(&wanted)),
    }
    Ok(())
}

fn site(config: &Config, addresses: Vec<IpAddr>) -> Result<Site, Failure> {
    let public = |place: &DkimPlace| {
        let told =
            |error: &dyn Display| Failure::usage(format!("{}: {error}", place.key.display()));
        let pem = fs::read(&place.key).map_err(|error| told(&error))?;
        PublicKey::of(&place.domain, &place.selector, &pem).map_err(|error| told(&error))
    };
    let mut keys = config.dkim.iter().map(public).collect::<Result<Vec<_>, Failure>>()?;
    for key in keyring::read(&config.data)?.all() {
        let named = format!("{} of {}", key.selector, key.domain);
        keys.push(key.public().map_err(|error| Failure::usage(format!("{named}: {error}")))?);
    }
    Ok(Site::of(config, addresses, keys))
}

/// Domains whose mail nobody signs.
fn unsigned(site: &Site) -> Vec<Finding> {
    let signs = |domain: &String| {
        site.keys.iter().any(|key| key.domain == *domain && key.used == KeyUse::Signs)
    };
    let warn = |domain: &String| {
        let said = "there is no key that signs its mail: many servers take it for junk";
        let remedy = format!("make one: pillarbox dkim add {domain}");
        Finding::warn(format!("DKIM of {domain}"), said, remedy)
    };
    site.domains.iter().filter(|domain| !signs(domain)).map(warn).collect()
}

async fn examine(config: &Config, arguments: &Doctor) -> Result<Vec<Finding>, Failure> {
    // A new one each time: what it remembers may have been mended.
    let look = Look::through(&config.dns)?;
    let addresses = checks::addresses(&arguments.looking.address, &look, &config.hostname).await;
    let is_running = ControlClient::connect(&config.data).await?.is_some();
    let mut site = site(config, addresses)?;
    let questions = Questions {
        moment: Moment::After,
        site: site.clone(),
        listeners: config.listeners.clone(),
        is_running,
        data: config.data.clone(),
        probe: arguments.looking.probe.clone(),
        way_out: WayOut::of(config),
        lists: checks::lists(&arguments.looking),
    };
    let facts = checks::gather(&look, &questions).await;
    site.only_what_is_possible(facts.host.is_secure());
    let mut findings = checks::judge(&facts);
    let issued = config.acme.as_ref().map(|_| web::issued(&config.data));
    if let Some(files) = config.certificate.as_ref().or(issued.as_ref()) {
        findings.extend(certificate::findings(files, &site.hostname, facts.clock.now));
    }
    findings.extend(unsigned(&site));
    findings.extend(checks::records(&look, &site).await);
    Ok(findings)
}

fn verdict(findings: &[Finding], worst: Grade) -> Failure {
    let count = findings.iter().filter(|finding| finding.grade == worst).count();
    match worst {
        Grade::Fail => Failure::unfit(checks::counted(count, "failure")),
        Grade::Warn | Grade::Ok => Failure::failed(checks::counted(count, "warning")),
    }
}

/// What is told of a later look: only what is different now.
fn changes(before: &[Finding], now: &[Finding]) -> Vec<String> {
    let is_new = |finding: &&Finding| !before.contains(finding);
    let changed: Vec<_> = now.iter().filter(is_new).cloned().collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let open = now.iter().filter(|finding| finding.grade != Grade::Ok).count();
    vec![
        checks::lines(&changed).trim_end().to_owned(),
        format!("{open} of {} are not green yet", now.len()),
    ]
}

/// One round of the doctor, as a script reads it.
#[derive(Serialize)]
struct Round<'f> {
    worst: Grade,
    findings: &'f [Finding],
}

fn json(findings: &[Finding], worst: Grade) -> Result<String, Failure> {
    let text = serde_json::to_string(&Round { worst, findings });
    text.map_err(|error| Failure::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use super::*;

    #[test]
    fn a_later_look_tells_only_what_is_different() {
        let missing = Finding::fail("MX example.org", "is missing", "set it");
        let before = [Finding::ok("clock", "is set"), missing.clone()];
        assert!(changes(&before, &before).is_empty());
        let after = [Finding::ok("clock", "is set"), Finding::ok("MX example.org", "is here")];
        let told = changes(&before, &after);
        assert_eq!(told, ["OK    MX example.org: is here", "0 of 2 are not green yet"]);
    }

    #[test]
    fn a_domain_without_a_key_is_warned_of() {
        let key = |used| PublicKey {
            domain: "a.example".into(),
            selector: "s".into(),
            text: String::new(),
            used,
        };
        let count = |keys: &[PublicKey]| {
            let domains = vec!["a.example".into(), "b.example".into()];
            unsigned(&Site { domains, keys: keys.to_vec(), ..Site::default() }).len()
        };
        assert_eq!(count(&[key(KeyUse::Signs)]), 1);
        assert_eq!(count(&[key(KeyUse::Retired)]), 2);
    }

    #[test]
    fn the_exit_code_tells_warnings_from_failures() {
        let warning = Finding::warn("a", "b", "c");
        let failure = Finding::fail("a", "b", "c");
        let code = |findings: &[Finding]| verdict(findings, checks::worst(findings)).code();
        assert_eq!(code(std::slice::from_ref(&warning)), ExitCode::from(1));
        assert_eq!(code(&[warning, failure]), ExitCode::from(2));
    }

    #[test]
    fn json_names_grades_as_the_text_does() {
        let findings = [Finding::warn("a", "b", "c")];
        let text = json(&findings, Grade::Warn).unwrap();
        let expected =
            r#"{"worst":"WARN","findings":[{"what":"a","grade":"WARN","said":"b","remedy":"c"}]}"#;
        assert_eq!(text, expected);
    }
}
