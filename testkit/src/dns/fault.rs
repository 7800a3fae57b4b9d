//! Answers that are broken on purpose.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use hickory_server::proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_server::proto::op::{Message, ResponseCode};
use hickory_server::proto::rr::rdata::A;
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

use super::zone::name;

/// What is wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The server says that it failed.
    ServFail,
    /// The server refuses.
    Refused,
    /// No answer.
    Silent,
    /// The answer is to another question's number.
    WrongId,
    /// The answer is to another question.
    WrongQuestion,
    /// A name in the answer points to itself.
    CompressionLoop,
    /// The answer ends in the middle of a record.
    CutOff,
    /// Octets that mean nothing.
    Garbage,
    /// The answer says that it is not whole, over TCP too.
    Truncated,
    /// So many more addresses of the same name.
    ManyAddresses(u16),
    /// So many addresses of as many other names.
    ManyNames(u16),
    /// Addresses of another name come along, in every section.
    Foreign(String, Ipv4Addr),
    /// Signatures do not hold.
    ForgedSignatures,
    /// So many signatures that do not hold stand before the one that does.
    ManySignatures(u16),
    /// Signatures, and what proves absence, are left out.
    NoSignatures,
}

/// Which answers are broken.
#[derive(Default)]
pub struct Faults {
    names: HashMap<Name, Fault>,
    strip: bool,
}

impl Faults {
    pub fn insert(&mut self, of: &str, fault: Fault) {
        self.names.insert(name(of), fault);
    }

    pub fn remove(&mut self, of: &str) {
        self.names.remove(&name(of));
    }

    pub fn strip(&mut self) {
        self.strip = true;
    }

    /// The octets of an answer, or none; what is longer than `size` is cut as RFC 2181 §9 says.
    pub fn apply(&self, asked: &Name, mut message: Message, size: usize) -> Option<Vec<u8>> {
        if self.strip {
            strip(&mut message);
        }
        let fault = self.names.get(asked);
        match fault {
            Some(Fault::Silent) => return None,
            Some(fault) => fault.alter(asked, &mut message),
            None => {}
        }
        let mut bytes = message.to_vec().ok()?;
        if bytes.len() > size {
            message.metadata.truncation = true;
            message.answers.clear();
            message.authorities.clear();
            message.additionals.clear();
            bytes = message.to_vec().ok()?;
        }
        Some(fault.map_or(bytes.clone(), |fault| fault.mangle(bytes)))
    }
}

impl Fault {
    /// What is wrong with the meaning.
    fn alter(&self, asked: &Name, message: &mut Message) {
        match self {
            Self::ServFail => fail(message, ResponseCode::ServFail),
            Self::Refused => fail(message, ResponseCode::Refused),
            Self::WrongId => message.metadata.id = message.metadata.id.wrapping_add(1),
            Self::WrongQuestion => {
                for query in &mut message.queries {
                    query.set_name(name("elsewhere.invalid"));
                }
            }
            Self::Truncated => message.metadata.truncation = true,
            Self::ManyAddresses(count) => {
                let more = (0..*count).map(|number| address(asked.clone(), number));
                message.answers.extend(more);
            }
            Self::ManyNames(count) => {
                let more = (0..*count).map(|number| address(name(&format!("x{number}")), number));
                message.answers.extend(more);
            }
            Self::Foreign(other, foreign) => {
                let record = Record::from_rdata(name(other), LONG, RData::A(A(*foreign)));
                message.answers.push(record.clone());
                message.authorities.push(record.clone());
                message.additionals.push(record);
            }
            Self::ForgedSignatures => message
                .answers
                .iter_mut()
                .chain(&mut message.authorities)
                .for_each(|record| forge(record, 1)),
            Self::ManySignatures(count) => bury(message, *count),
            Self::NoSignatures => strip(message),
            Self::Silent | Self::CompressionLoop | Self::CutOff | Self::Garbage => {}
        }
    }

    /// What is wrong with the octets.
    fn mangle(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::CompressionLoop => {
                // One record after the question, whose name is at its own place, RFC 1035 §4.1.4.
                let mut looped = question(&bytes, 1);
                let pointer = 0xC000 | u16::try_from(looped.len()).unwrap_or(HEADER);
                looped.extend(pointer.to_be_bytes());
                looped.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
                looped
            }
            Self::CutOff => {
                bytes = question(&bytes, 3);
                bytes.extend([0xC0, 0x0C, 0, 1, 0]);
                bytes
            }
            Self::Garbage => {
                let number = bytes.get(..2).unwrap_or_default().to_vec();
                [number, vec![0xFF; 100]].concat()
            }
            _ => bytes,
        }
    }
}

/// Header and question of an answer, with a count of answers that are still to come.
fn question(bytes: &[u8], answers: u8) -> Vec<u8> {
    let header = usize::from(HEADER);
    let labels = bytes.get(header..).unwrap_or_default();
    let name = labels.iter().position(|&byte| byte == 0).unwrap_or_default();
    let mut kept = bytes.get(..header + name + 5).unwrap_or_default().to_vec();
    for (at, value) in [(7, answers), (6, 0), (8, 0), (9, 0), (10, 0), (11, 0)] {
        if let Some(byte) = kept.get_mut(at) {
            *byte = value;
        }
    }
    kept
}

fn fail(message: &mut Message, code: ResponseCode) {
    message.metadata.response_code = code;
    message.answers.clear();
    message.authorities.clear();
    message.additionals.clear();
}

fn strip(message: &mut Message) {
    for records in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
        records.retain(|record| !SIGNATURES.contains(&record.record_type()));
    }
}

fn forge(record: &mut Record, flaw: u16) {
    if let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data {
        let mut octets = signature.sig().to_vec();
        for (octet, flaw) in octets.iter_mut().zip(flaw.to_be_bytes()) {
            *octet ^= flaw;
        }
        let forged = RRSIG::from_sig(signature.input().clone(), octets);
        record.data = RData::DNSSEC(DNSSECRData::RRSIG(forged));
    }
}

/// Puts other signatures, which all look different, before each one.
fn bury(message: &mut Message, count: u16) {
    let signatures = message.answers.iter().filter(|it| it.record_type() == RecordType::RRSIG);
    let mut forged = Vec::new();
    for signature in signatures {
        for flaw in 1..=count {
            let mut signature = signature.clone();
            forge(&mut signature, flaw);
            forged.push(signature);
        }
    }
    message.answers.splice(0..0, forged);
}

fn address(owner: Name, number: u16) -> Record {
    let [high, low] = number.to_be_bytes();
    Record::from_rdata(owner, LONG, RData::A(A(Ipv4Addr::new(10, 0, high, low))))
}

const SIGNATURES: &[RecordType] =
    &[RecordType::RRSIG, RecordType::NSEC, RecordType::NSEC3, RecordType::DS];

/// Length of the header of a message, RFC 1035 §4.1.1.
const HEADER: u16 = 12;

/// What is false shall stay false for long, if anyone believes it.
const LONG: u32 = 86_400;
