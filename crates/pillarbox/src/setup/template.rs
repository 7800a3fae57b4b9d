//! The configuration and the systemd unit that a set-up writes.
//!
//! A configuration is a list of sections, each written by a function of its own: a section that a
//! later version knows is one function and one line in [`config`].

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::plan::{Plan, Source};

/// The configuration file.
pub fn config(plan: &Plan) -> String {
    let sections = [basics(plan), names(plan), certificate(plan), outbound(), listeners(plan)];
    let mut text = format!(
        "# Written by `pillarbox setup {}`. What can stand here is told in the README;\n\
         # `pillarbox serve --check` tells every mistake, `pillarbox reload` reads it again.\n\
         # Keys that sign mail are kept with the data; see `pillarbox dkim`.\n",
        plan.account
    );
    for section in sections.into_iter().flatten() {
        text.push('\n');
        text.push_str(&section);
    }
    text
}

fn basics(plan: &Plan) -> Option<String> {
    let (data, hostname, domain) = (quoted_path(&plan.paths.data), &plan.hostname, &plan.domain);
    Some(format!("data = {data}\nhostname = \"{hostname}\"\ndomains = [\"{domain}\"]\n"))
}

fn names(plan: &Plan) -> Option<String> {
    if plan.name_servers.is_empty() && plan.trust_anchor.is_none() {
        return None;
    }
    let mut text = "# Else the name servers of the system are asked.\n[dns]\n".to_owned();
    if !plan.name_servers.is_empty() {
        let servers: Vec<_> =
            plan.name_servers.iter().map(|server| format!("\"{server}\"")).collect();
        let _ = writeln!(text, "servers = [{}]", servers.join(", "));
    }
    if let Some(file) = &plan.trust_anchor {
        let _ = writeln!(text, "trust_anchor = {}", quoted_path(file));
    }
    Some(text)
}

fn certificate(plan: &Plan) -> Option<String> {
    let files = |remark: &str, certificate: &Path, key: &Path| {
        let (certificate, key) = (quoted_path(certificate), quoted_path(key));
        format!("# {remark}\n[tls]\ncertificate = {certificate}\nkey = {key}\n")
    };
    Some(match &plan.certificate {
        Source::Authority => format!(
            "# A certificate from Let's Encrypt, renewed by itself; it may write to the contact.\n\
             [acme]\ncontact = [\"{}\"]\nchallenge = \"http-01\"\n",
            plan.account
        ),
        Source::SelfSigned => {
            let folder = plan.paths.data.join(SELF_SIGNED_FOLDER);
            files(
                "Nobody vouches for this one: mail is encrypted with it, but mail programs warn.",
                &folder.join("self-signed.pem"),
                &folder.join("self-signed.key"),
            )
        }
        Source::Files(certificate, key) => files("Read again when it changes.", certificate, key),
    })
}

/// How mail for others leaves.
fn outbound() -> Option<String> {
    let text = "# Mail for others goes straight to the servers of their domains.\n\
                [outbound]\ndirect = true\n";
    Some(text.to_owned())
}

/// What is served, and where: mail of others, mail of the people here, and their mailboxes.
fn listeners(plan: &Plan) -> Option<String> {
    let listeners = [
        ("smtp", 25, "starttls", "Mail from everywhere arrives."),
        ("submission", 465, "implicit", "The people here hand mail in."),
        ("submission", 587, "starttls", "The same, for programs that begin without TLS."),
        ("imap", 993, "implicit", "They read it."),
        ("http", 443, "implicit", "Mail programs find their settings, servers the policy."),
        ("http", 80, "none", "Who issues the certificate asks here; all else is sent to TLS."),
    ];
    let mut text = String::new();
    for (protocol, port, tls, remark) in listeners {
        let any = plan.any_address;
        let address = SocketAddr::new(any, port);
        let _ = write!(
            text,
            "# {remark}\n[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n\
             tls = \"{tls}\"\n\n"
        );
    }
    text.pop();
    Some(text)
}

/// The unit that starts the server with the machine, under a user that exists only while it runs
/// and owns nothing but the data.
pub fn unit(plan: &Plan) -> String {
    let program = plan.program.display();
    let config = plan.paths.config.display();
    // systemd gives a folder below /var/lib to that user; another one stays whose it is.
    let user = if plan.paths.is_of_system() {
        "DynamicUser=yes\nStateDirectory=pillarbox\nStateDirectoryMode=0700".to_owned()
    } else {
        format!("ReadWritePaths={}", plan.paths.data.display())
    };
    UNIT.replace("{program}", &program.to_string())
        .replace("{config}", &config.to_string())
        .replace("{user}", &user)
}

/// TOML, basic strings.
fn quoted_path(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

/// Where a certificate that nobody else vouches for is kept in the data folder, as the server keeps
/// one that it makes.
pub const SELF_SIGNED_FOLDER: &str = "tls";

const UNIT: &str = "[Unit]
Description=Pillarbox mail server
Wants=network-online.target
After=network-online.target nss-lookup.target time-sync.target

[Service]
Type=exec
ExecStart={program} serve --config {config}
ExecReload=kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
TimeoutStopSec=60
LimitNOFILE=524288
UMask=0077

{user}
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
PrivateDevices=yes
PrivateTmp=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
";

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;
    use crate::config::{Config, Protocol, TlsMode};

    #[test]
    fn the_configuration_that_is_written_has_no_mistakes() {
        let mut plan = plan();
        let files = || Source::Files("/etc/a.pem".into(), "/etc/a \"key\".pem".into());
        for (source, key) in [
            (Source::Authority, None),
            (Source::SelfSigned, Some("/var/lib/pillarbox/tls/self-signed.key")),
            (files(), Some("/etc/a \"key\".pem")),
        ] {
            plan.certificate = source;
            let text = config(&plan);
            let config = Config::parse(&text, plan.paths.config.parent().unwrap());
            let config = config.unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
            assert_eq!(config.hostname, "mail.example.org");
            assert_eq!(config.domains, ["example.org"]);
            assert_eq!(config.data, plan.paths.data);
            assert!(config.outbound.direct);
            assert_eq!(config.acme.is_some(), key.is_none());
            assert_eq!(config.certificate.map(|files| files.key), key.map(Into::into));
        }
    }

    #[test]
    fn every_port_of_mail_is_served_and_no_mail_without_tls() {
        let config = Config::parse(&config(&plan()), "/etc".as_ref()).unwrap();
        let ports: Vec<_> = config.listeners.iter().filter_map(|at| at.address.port()).collect();
        assert_eq!(ports, [25, 465, 587, 993, 443, 80]);
        let is_clear = |at: &&crate::config::Listen| at.tls == TlsMode::None;
        let clear: Vec<_> = config.listeners.iter().filter(is_clear).collect();
        assert_eq!(clear.len(), 1);
        assert_eq!(clear[0].protocol, Protocol::Http);
    }

    #[test]
    fn the_unit_starts_this_program_with_this_configuration_and_few_rights() {
        let text = unit(&plan());
        let start = "ExecStart=/usr/bin/pillarbox serve --config /etc/pillarbox/pillarbox.toml\n";
        assert!(text.contains(start), "{text}");
        assert!(text.contains("DynamicUser=yes\nStateDirectory=pillarbox\n"));
        assert!(!text.contains('{'), "{text}");
        let mut elsewhere = plan();
        elsewhere.paths = super::super::plan::Paths::below("/srv/try".as_ref());
        assert!(unit(&elsewhere).contains("ReadWritePaths=/srv/try/var/lib/pillarbox\n"));
    }
}
