//! Settings as Apple's systems take them: a configuration profile with one mail account.
//!
//! It is not signed: the system shows that, and the connection that it came by was verified. Its
//! identifiers are drawn from the address, so a profile that is installed again takes the place of
//! the first.

use crate::ask::{Ask, Mailbox};
use crate::page::{APPLE_PROFILE, Page};
use crate::site::{Endpoint, Site};
use crate::xml::escaped;

/// The profile for the address in the query.
pub fn page(site: &Site, ask: &Ask<'_>, _: &str) -> Page {
    let mailbox = ask.field("email").and_then(|address| Mailbox::read(&address));
    let mailbox = mailbox.filter(|mailbox| site.has_domain(&mailbox.domain));
    let (Some(mailbox), Some(imap), Some(submission)) =
        (mailbox, site.imap.first(), site.submission.first())
    else {
        return Page::not_found();
    };
    let body = profile(site, &mailbox, *imap, *submission);
    let file_name = Some(format!("{}.mobileconfig", mailbox.domain));
    Page { file_name, ..Page::ok(APPLE_PROFILE, body) }
}

fn profile(site: &Site, mailbox: &Mailbox, imap: Endpoint, submission: Endpoint) -> String {
    let (address, domain) = (escaped(&mailbox.address), escaped(&mailbox.domain));
    let identifier = format!("{}.{}", reversed(&mailbox.domain), uuid("profile", mailbox));
    let account = [
        string("EmailAccountType", "EmailTypeIMAP"),
        string("EmailAccountDescription", &domain),
        string("EmailAddress", &address),
        server("Incoming", site, imap, &address),
        server("Outgoing", site, submission, &address),
        truth("OutgoingPasswordSameAsIncomingPassword"),
        string("PayloadType", "com.apple.mail.managed"),
        string("PayloadDisplayName", &domain),
        string("PayloadIdentifier", &format!("{identifier}.mail")),
        string("PayloadUUID", &uuid("mail", mailbox)),
        integer("PayloadVersion", 1),
    ];
    let whole = [
        format!(
            "<key>PayloadContent</key>\n<array>\n<dict>\n{}</dict>\n</array>\n",
            account.concat()
        ),
        string("PayloadType", "Configuration"),
        string("PayloadDisplayName", &format!("Mail {address}")),
        string("PayloadIdentifier", &identifier),
        string("PayloadUUID", &uuid("profile", mailbox)),
        integer("PayloadVersion", 1),
    ];
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n{}</dict>\n</plist>\n",
        whole.concat()
    )
}

/// UseSSL means protected; whether from the first octet on, the port decides.
fn server(way: &str, site: &Site, endpoint: Endpoint, address: &str) -> String {
    [
        string(&format!("{way}MailServerHostName"), &escaped(&site.hostname)),
        integer(&format!("{way}MailServerPortNumber"), endpoint.port),
        truth(&format!("{way}MailServerUseSSL")),
        string(&format!("{way}MailServerUsername"), address),
        string(&format!("{way}MailServerAuthentication"), "EmailAuthPassword"),
    ]
    .concat()
}

fn string(key: &str, value: &str) -> String {
    format!("<key>{key}</key>\n<string>{value}</string>\n")
}

fn integer(key: &str, value: u16) -> String {
    format!("<key>{key}</key>\n<integer>{value}</integer>\n")
}

fn truth(key: &str) -> String {
    format!("<key>{key}</key>\n<true/>\n")
}

/// `example.org` as `org.example`.
fn reversed(domain: &str) -> String {
    let labels: Vec<_> = domain.rsplit('.').collect();
    escaped(&labels.join("."))
}

/// A UUID of our own making, the same for the same address. RFC 9562 §5.8
fn uuid(what: &str, mailbox: &Mailbox) -> String {
    let hash = blake3::hash(format!("{what}\0{}", mailbox.address).as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{number:032X}");
    let ends = [8, 12, 16, 20];
    let dashed = |(at, digit): (usize, char)| match ends.contains(&at) {
        true => vec!['-', digit],
        false => vec![digit],
    };
    hex.chars().enumerate().flat_map(dashed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer;
    use crate::ask::tests::get;
    use crate::site::tests::{site, text};

    fn ask(email: &str) -> Page {
        answer(&site(), &get("mail.example", &format!("/mail/apple.mobileconfig?email={email}")))
    }

    #[test]
    fn a_profile_names_the_best_ports_and_is_the_same_each_time() {
        let page = ask("dock@example.org");
        assert_eq!((page.status, page.media_type), (200, APPLE_PROFILE));
        assert_eq!(page.file_name.as_deref(), Some("example.org.mobileconfig"));
        let profile = text(&page);
        for part in [
            "<key>IncomingMailServerPortNumber</key>\n<integer>993</integer>",
            "<key>OutgoingMailServerPortNumber</key>\n<integer>465</integer>",
            "<key>EmailAddress</key>\n<string>dock@example.org</string>",
            "<key>PayloadIdentifier</key>\n<string>org.example.",
        ] {
            assert!(profile.contains(part), "{part}");
        }
        assert_eq!(page, ask("dock@example.org"));
        assert_ne!(page, ask("quay@example.org"));
    }

    #[test]
    fn an_address_is_one_text_of_the_profile_and_one_of_ours() {
        assert!(text(&ask("a%26b@example.org")).contains("<string>a&amp;b@example.org</string>"));
        for bad in ["", "a@other.example", "a%3Cb@example.org", "a%0Ab@example.org"] {
            assert_eq!(ask(bad).status, 404, "{bad}");
        }
    }

    #[test]
    fn uuids_are_of_version_8() {
        let mailbox = Mailbox::read("dock@example.org").unwrap();
        let uuid = uuid("mail", &mailbox);
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'8');
        assert!(b"89AB".contains(&uuid.as_bytes()[19]));
    }
}
