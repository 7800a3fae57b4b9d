//! What an oracle is asked about a message, in a form that all of them can give.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use mime::{Content, Decoder, Encoding, LineEnds, Part, parse};

/// What one parser says of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// `multipart/mixed[text/plain image/png]`, lower case.
    pub shape: String,
    /// Each leaf's body without its transfer encoding; those of text with LF line ends.
    pub bodies: Vec<Vec<u8>>,
    /// The Subject, decoded.
    pub subject: String,
    /// Addresses of From, To and Cc in this order, `mailbox@host`, lower case.
    pub addresses: Vec<String>,
    /// The Date in seconds since 1970.
    pub date: Option<i64>,
    /// File names of the leaves.
    pub names: Vec<String>,
}

/// Our view.
pub fn ours(bytes: &[u8]) -> View {
    let message = parse(bytes);
    let mut view = View { shape: shape(&message.root), ..View::default() };
    collect(bytes, &message.root, &mut view);
    let envelope = &message.header.envelope;
    view.subject = mime::decode_header(envelope.subject.as_deref().unwrap_or_default());
    let text = |part: &Option<Vec<u8>>| {
        String::from_utf8_lossy(part.as_deref().unwrap_or_default()).into_owned()
    };
    let lists = [&envelope.from, &envelope.to, &envelope.cc];
    let real = lists.into_iter().flatten().filter(|a| a.host.is_some());
    view.addresses = real
        .map(|a| format!("{}@{}", text(&a.mailbox), text(&a.host)).to_lowercase())
        .filter(|a| a != "@")
        .collect();
    view.date = message.header.date.map(mail_types::InternalDate::seconds);
    view
}

fn collect(bytes: &[u8], part: &Part, view: &mut View) {
    match &part.content {
        Content::Leaf => {
            let body = &bytes[part.body_start as usize..part.end as usize];
            let encoding =
                Encoding::from_header(part.encoding.as_deref()).unwrap_or(Encoding::Identity);
            let mut decoder = Decoder::new(encoding, LineEnds::Keep);
            let mut decoded = Vec::new();
            decoder.push(body, &mut decoded);
            decoder.finish(&mut decoded);
            view.bodies.push(comparable(&decoded));
            view.names.push(part.filename().unwrap_or_default());
        }
        _ => part.children().iter().for_each(|child| collect(bytes, child, view)),
    }
}

/// A body with LF line ends and none at its end: parsers differ about the last one, and the exact
/// offsets are checked elsewhere.
pub fn comparable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.iter().peekable();
    while let Some(byte) = rest.next() {
        if *byte != b'\r' || rest.peek() != Some(&&b'\n') {
            out.push(*byte);
        }
    }
    let end = out.iter().rposition(|b| *b != b'\n').map_or(0, |at| at + 1);
    out.truncate(end);
    out
}

fn shape(part: &Part) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let mut out = format!("{}/{}", text(&part.kind), text(&part.subtype));
    if part.content != Content::Leaf {
        let children: Vec<_> = part.children().iter().map(shape).collect();
        out.push_str(&format!("[{}]", children.join(" ")));
    }
    out
}
