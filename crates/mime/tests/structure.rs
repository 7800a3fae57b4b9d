//! BODYSTRUCTURE of whole messages. RFC 9051 §7.5.2

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod common;

use common::samples;
use mail_types::{BodyStructure, Param};
use mime::parse;

fn structure(name: &str) -> BodyStructure {
    let (_, bytes) = samples().into_iter().find(|(file, _)| file == name).unwrap();
    parse(&bytes).root.structure()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn params(params: &[Param]) -> Vec<String> {
    params.iter().map(|p| format!("{}={}", text(&p.name), text(&p.value))).collect()
}

#[test]
fn wire_09_the_extended_form_tells_boundary_and_disposition() {
    let BodyStructure::Multipart { parts, subtype, params: outer, .. } =
        structure("apple-filename.eml")
    else {
        panic!("no multipart")
    };
    assert_eq!(subtype, b"mixed");
    assert_eq!(params(&outer), ["boundary=Apple-Mail=_1"]);
    let [BodyStructure::Basic { kind, subtype, fields, extension, .. }] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    assert_eq!((kind.as_slice(), subtype.as_slice()), (&b"application"[..], &b"pdf"[..]));
    assert_eq!(params(&fields.params), ["x-unix-mode=0644", "name==?utf-8?Q?=E2=82=AC?="]);
    assert_eq!((fields.encoding.as_slice(), fields.octets), (&b"base64"[..], 10));
    let disposition = extension.disposition.as_ref().unwrap();
    assert_eq!(disposition.kind, b"attachment");
    // The pieces are joined, as servers should. RFC 9051 §7.5.2
    assert_eq!(params(&disposition.params), ["filename*=utf-8''%E2%82%AC%20uro%20%C3%A4.pdf"]);
}

#[test]
fn fields_that_are_missing_get_their_defaults() {
    let bytes = b"Subject: x\r\n\r\none\r\ntwo\r\n";
    let BodyStructure::Text { subtype, fields, lines, md5, extension } =
        parse(bytes).root.structure()
    else {
        panic!("no text")
    };
    assert_eq!((subtype.as_slice(), lines, fields.octets), (&b"plain"[..], 2, 10));
    assert_eq!(params(&fields.params), ["charset=us-ascii"]);
    assert_eq!(
        (fields.encoding.as_slice(), fields.id, fields.description),
        (&b"7bit"[..], None, None)
    );
    assert_eq!((md5, extension), (None, mail_types::ExtensionFields::default()));
}

#[test]
fn a_message_inside_tells_its_envelope_structure_and_lines() {
    let BodyStructure::Multipart { parts, .. } = structure("rfc9051-sections.eml") else {
        panic!("no multipart")
    };
    let BodyStructure::Message { envelope, body, lines, fields, .. } = &parts[2] else {
        panic!("{:?}", parts[2])
    };
    assert_eq!(envelope.subject.as_deref(), Some(&b"inner three"[..]));
    assert!(matches!(&**body, BodyStructure::Multipart { parts, .. } if parts.len() == 2));
    assert_eq!(*lines, 11);
    assert!(fields.octets > 100);
}

#[test]
fn a_message_that_is_encoded_can_be_saved_but_not_opened() {
    let BodyStructure::Multipart { parts, .. } = structure("encoded-message.eml") else {
        panic!("no multipart")
    };
    let BodyStructure::Basic { kind, subtype, fields, .. } = &parts[0] else {
        panic!("{:?}", parts[0])
    };
    assert_eq!((kind.as_slice(), subtype.as_slice()), (&b"application"[..], &b"octet-stream"[..]));
    assert_eq!(fields.encoding, b"base64");
    assert!(matches!(&parts[1], BodyStructure::Message { .. }));
}
