//! Whole messages through the whole of it, with answers from a zone in memory.

mod arc;
mod dkim;
mod dmarc;
mod evasions;
mod noise;
mod patience;
mod seal;
mod spf;
mod vectors;
mod zone;

use std::net::IpAddr;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::keys::{Key, dns_record, generate_ed25519};
use crate::message::{Message, body_hash};
use crate::signature::Content;
use crate::tags::Tags;
use crate::{Incoming, Report, Settings, Verifier};
use zone::Zone;

/// When the tests play, in seconds since 1970.
const NOW: i64 = 1_800_000_000;

/// Where mail comes from.
const CLIENT: &str = "192.0.2.1";

/// A message, told with `\n`.
fn text(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// What the verifier finds in a message of this sender.
async fn verified(zone: Zone, mail_from: &str, message: &str) -> Report {
    verified_with(zone, mail_from, message, Settings::default()).await
}

async fn verified_with(zone: Zone, from: &str, message: &str, settings: Settings) -> Report {
    let verifier =
        Verifier::with_source(Arc::new(zone), "mx.here.example".to_owned()).with_settings(settings);
    let incoming = Incoming {
        ip: CLIENT.parse::<IpAddr>().unwrap(),
        helo: "client.example",
        mail_from: Some(from),
        message: message.as_bytes(),
        now: NOW,
    };
    verifier.verify(&incoming).await
}

/// A signer that signs whatever it is told to.
struct Forger {
    key: Key,
}

impl Forger {
    fn new() -> Self {
        Self { key: Key::from_pem(generate_ed25519().unwrap().expose()).unwrap() }
    }

    /// The line of a zone that publishes its key.
    fn record(&self, name: &str) -> String {
        format!("{name} TXT {}", dns_record(&self.key))
    }

    /// A field with these tags and the message behind it. `bh=` and `b=` are added.
    fn signed(&self, field: &str, tags: &str, message: &str) -> String {
        self.signed_over(field, tags, message, usize::MAX)
    }

    /// The same over the first octets of the body.
    fn signed_over(&self, field: &str, tags: &str, message: &str, length: usize) -> String {
        let parsed = Message::new(message.as_bytes());
        let body = parsed.body.get(..length).unwrap_or(parsed.body);
        let probe = format!("{tags}; bh=AAAA; b=");
        let probe = Tags::parse(probe.as_bytes()).unwrap();
        // A signature that leaves From out is refused when it is read, and made nevertheless.
        let with_from = format!("{}:from", String::from_utf8_lossy(probe.get("h").unwrap()));
        let known = |form: &&[u8]| !form.starts_with(b"nowsp");
        let form = probe.get("c").filter(known).unwrap_or(b"simple/simple");
        let readable = format!("h={with_from}; bh=AAAA; c={}", String::from_utf8_lossy(form));
        let mut content = Content::read(&Tags::parse(readable.as_bytes()).unwrap()).unwrap();
        content.names.pop();
        let hash = BASE64_STANDARD.encode(body_hash(body, content.body));
        let value = format!(" {tags}; bh={hash}; b=");
        let mut fields = parsed.select(&content.names);
        fields.push((field.as_bytes(), value.as_bytes()));
        let mut canonical = Vec::new();
        content.header.canonicalize_headers(fields.into_iter(), &mut canonical);
        let signature = BASE64_STANDARD.encode(self.key.sign(&canonical).unwrap());
        format!("{field}:{value}{signature}\r\n{message}")
    }
}
