//! What a person needs to connect a mail client to a trial, ready to be pasted.

use std::fmt::Write;

use crate::ready::Ready;

/// The text that `pillarbox try` prints once it is ready.
pub fn text(ready: &Ready) -> String {
    let mut out =
        String::from("\nPillarbox is ready, for this machine only. End it with Ctrl-C.\n\n");
    for account in &ready.accounts {
        let _ = writeln!(out, "  {}   password  {}", account.name, account.password);
    }
    out.push('\n');
    let port = |port: Option<u16>| port.unwrap_or_default();
    let (imap, imaps, lmtp) = (port(ready.imap), port(ready.imaps), port(ready.lmtp));
    let certificate = ready.certificate.display();
    let _ = writeln!(out, "  IMAP  127.0.0.1:{imaps}  TLS from the start");
    let _ = writeln!(out, "  IMAP  127.0.0.1:{imap}  STARTTLS, or no TLS");
    let _ = writeln!(out, "  LMTP  127.0.0.1:{lmtp}");
    let (smtp, submission) = (port(ready.smtp), port(ready.submission));
    let _ = writeln!(out, "  SMTP  127.0.0.1:{smtp}  for the two addresses above, from anybody");
    let _ =
        writeln!(out, "  SMTP  127.0.0.1:{submission}  submission: the two may write each other");
    let _ = writeln!(out, "  self-signed certificate: {certificate}\n");
    let Some(first) = ready.accounts.first() else { return out };
    let (name, password) = (&first.name, &first.password);
    let _ = write!(
        out,
        "Thunderbird: add an account, \"configure manually\", then accept the certificate
    IMAP, server localhost, port {imaps}, SSL/TLS
    user name {name}, normal password

neomutt
    neomutt -e 'set certificate_file={certificate}' \\
            -e 'set imap_user={name}' -e 'set imap_pass={password}' \\
            -f imaps://localhost:{imaps}/INBOX

mbsync: save as trial.mbsyncrc, then: mbsync -c trial.mbsyncrc -a
    IMAPStore far
    Host localhost
    Port {imaps}
    User {name}
    Pass {password}
    SSLType IMAPS
    CertificateFile {certificate}

    MaildirStore near
    Path ./trial-mail/
    Inbox ./trial-mail/INBOX
    SubFolders Verbatim

    Channel trial
    Far :far:
    Near :near:
    Patterns *
    Create Both
    Expunge Both
    SyncState *

curl
    curl --cacert {certificate} -u '{name}:{password}' \\
         'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
"
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready::ReadyAccount;

    #[test]
    fn ports_names_and_passwords_are_where_a_person_looks_for_them() {
        let ready = Ready {
            imap: Some(1143),
            imaps: Some(1993),
            lmtp: Some(1124),
            certificate: "/data/tls/self-signed.pem".into(),
            accounts: vec![ReadyAccount { name: "home@a.example".into(), password: "pw".into() }],
            ..Ready::default()
        };
        let text = text(&ready);
        for part in [
            "  home@a.example   password  pw\n",
            "127.0.0.1:1993  TLS",
            "-u 'home@a.example:pw'",
            "    Port 1993\n",
            "CertificateFile /data/tls/self-signed.pem",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
