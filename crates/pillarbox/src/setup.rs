//! `pillarbox setup you@example.org`: from an empty machine to a server.
//!
//! First it looks and writes nothing; then it says what it will write; then it writes all of it or
//! nothing. Run again it changes nothing and says so.

mod ask;
mod keys;
mod place;
mod plan;
mod template;
mod write;

use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use mail_service::PasswordCost;
use mail_types::Secret;

use self::plan::{Paths, Plan, Source};
use crate::checks::{self, Facts, Grade, Look, Moment, Questions, WayOut};
use crate::cli::Setup;
use crate::config::{Config, is_domain};
use crate::control::ControlClient;
use crate::engine;
use crate::failure::Failure;
use crate::records::{self, PublicKey, Site};
use crate::say;

/// Sets a server up, or says that it is.
///
/// # Errors
/// When a check fails, or something cannot be written; nothing is left behind then.
pub async fn run(arguments: Setup) -> Result<(), Failure> {
    let plan = plan(&arguments)?;
    if plan.paths.config.exists() {
        return again(&plan);
    }
    say::line(format_args!("Looking at this machine and at {} …\n", plan.domain));
    let facts = look(&plan, &arguments).await?;
    let findings = checks::judge(&facts);
    say::line(checks::text(&findings));
    let is_stopped = checks::worst(&findings) == Grade::Fail && !arguments.despite_failures;
    if is_stopped && !arguments.dry_run {
        let remedy = "mend what fails, or go on with --despite-failures";
        return Err(Failure::failed(format!("nothing was written; {remedy}")));
    }
    say::line(summary(&plan));
    if arguments.dry_run {
        say::line(
            "Nothing was written. The records, apart from the keys that are yet to be made:\n",
        );
        return tell_records(&plan, &facts, Vec::new());
    }
    let password = consent(&plan, &arguments)?;
    let keys = keys::kept_or_new(&plan, facts.clock.now)?;
    let public = keys::public(&keys)?;
    for line in write::write(&plan, &keys, password, &mut |_| Ok(())).await? {
        say::line(line);
    }
    say::line("");
    tell_records(&plan, &facts, public)?;
    say::line(next(&plan));
    Ok(())
}

fn plan(arguments: &Setup) -> Result<Plan, Failure> {
    let (account, domain) = plan::read_address(&arguments.account).map_err(Failure::usage)?;
    let hostname = arguments.hostname.clone().unwrap_or_else(|| format!("mail.{domain}"));
    let hostname = hostname.to_ascii_lowercase();
    if !is_domain(&hostname) {
        return Err(Failure::usage(format!("--hostname {hostname:?} is not a domain name")));
    }
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    };
    let program = match &arguments.program {
        Some(program) => absolute(program)?,
        None => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/bin/pillarbox")),
    };
    let certificate = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Source::Files(absolute(certificate)?, absolute(key)?),
        _ if arguments.self_signed => Source::SelfSigned,
        _ => Source::Authority,
    };
    Ok(Plan {
        account,
        domain,
        hostname,
        paths: Paths::below(&absolute(&arguments.prefix)?),
        program,
        any_address: plan::any_address(),
        name_servers: arguments.name_server.clone(),
        trust_anchor: arguments.trust_anchor.as_deref().map(absolute).transpose()?,
        certificate,
        password_cost: PasswordCost::default(),
    })
}

/// What is set up already stays as it is.
fn again(plan: &Plan) -> Result<(), Failure> {
    let config = engine::read_config(&plan.paths.config)?;
    let file = plan.paths.config.display();
    if !config.domains.contains(&plan.domain) {
        return Err(Failure::failed(format!(
            "{file} is for {}; add {:?} to its domains, and `pillarbox doctor --config {file}` \
             tells what else is missing",
            config.domains.join(", "),
            plan.domain
        )));
    }
    say::line(format_args!(
        "{} is set up already: nothing was changed, and keys and accounts are as they were.\n\
         The records:  pillarbox dns records --config {file}\n\
         The checks:   pillarbox doctor --config {file}",
        plan.domain
    ));
    Ok(())
}

/// The configuration as it will be read: what is checked is what will be served.
fn configuration(plan: &Plan) -> Result<Config, Failure> {
    let folder = plan.paths.config.parent().unwrap_or(Path::new("/"));
    Config::parse(&template::config(plan), folder)
        .map_err(|mistakes| Failure::mistakes(mistakes.iter().map(ToString::to_string).collect()))
}

async fn look(plan: &Plan, arguments: &Setup) -> Result<Facts, Failure> {
    let config = configuration(plan)?;
    let look = Look::through(&config.dns)?;
    let looking = &arguments.looking;
    let addresses = checks::addresses(&looking.address, &look, &plan.hostname).await;
    let is_running = ControlClient::connect(&plan.paths.data).await?.is_some();
    let questions = Questions {
        moment: Moment::Before,
        site: Site::of(&config, addresses, Vec::new()),
        listeners: config.listeners.clone(),
        is_running,
        data: plan.paths.data.clone(),
        probe: looking.probe.clone(),
        way_out: WayOut::of(&config),
        lists: checks::lists(looking),
    };
    Ok(checks::gather(&look, &questions).await)
}

fn summary(plan: &Plan) -> String {
    let mut text = String::from("This will be set up:\n\n");
    let certificate = match &plan.certificate {
        Source::Authority => "from Let's Encrypt, once its names lead here".to_owned(),
        Source::SelfSigned => "self-signed, for a try".to_owned(),
        Source::Files(certificate, _) => certificate.display().to_string(),
    };
    let names = plan::aliases(&plan.account, &plan.domain).join(" and ");
    let lines = [
        ("account", format!("{}, which gets mail for {names}, too", plan.account)),
        ("server", plan.hostname.clone()),
        ("configuration", plan.paths.config.display().to_string()),
        ("data", plan.paths.data.display().to_string()),
        ("keys", "RSA 2048 and Ed25519, to sign mail, with the data".to_owned()),
        ("certificate", certificate),
        ("systemd unit", plan.paths.unit.display().to_string()),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:<14} {value}");
    }
    text
}

/// The password of somebody who wants all this.
fn consent(plan: &Plan, arguments: &Setup) -> Result<Secret, Failure> {
    if !arguments.yes {
        if !ask::is_somebody_there() || arguments.password_stdin {
            return Err(Failure::usage("nobody can be asked; say --yes to have it written"));
        }
        if !ask::confirm("Write it?")? {
            return Err(Failure::failed("nothing was written"));
        }
    }
    match arguments.password_stdin {
        true => ask::password_from_stdin(),
        false if ask::is_somebody_there() => ask::new_password(&plan.account),
        false => Err(Failure::usage("no password; give one by --password-stdin")),
    }
}

fn tell_records(plan: &Plan, facts: &Facts, keys: Vec<PublicKey>) -> Result<(), Failure> {
    let mut site = Site::of(&configuration(plan)?, facts.addresses.clone(), keys);
    site.only_what_is_possible(facts.host.is_secure());
    if site.addresses.is_empty() {
        let example: IpAddr = [192, 0, 2, 1].into();
        say::line(format_args!(
            "The address of this machine is not known; {example} stands for it.\n"
        ));
        site.addresses.push(example);
    }
    let wanted = records::wanted(&site);
    say::line(records::table(&site, &wanted));
    say::line("The same as a zone file:\n");
    say::line(records::zone(&wanted));
    Ok(())
}

fn next(plan: &Plan) -> String {
    let config = plan.paths.config.display();
    let mut text = String::from("Next:\n");
    if plan.paths.is_of_system() {
        text.push_str("  systemctl daemon-reload && systemctl enable --now pillarbox\n");
    } else {
        let _ = writeln!(text, "  {} serve --config {config}", plan.program.display());
    }
    let _ = writeln!(text, "  set the records above where the zone of {} is kept", plan.domain);
    let _ = write!(text, "  pillarbox doctor --watch --config {config}   until all is green");
    text
}
