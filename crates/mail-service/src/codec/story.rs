//! Rows of stories.

use mail_queue::QueueId;
use mail_types::{AccountId, Uid};

use super::queue::{read_progress, write_progress};
use super::{CorruptRecord, Fault, Reader, Writer, decode};
use crate::story::{Arrival, Line, Order, Placement, Tried, What};

/// An event as stored; when it happened stands in its key.
#[must_use]
pub fn encode_event(what: &What) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    match what {
        What::Arrived(arrival) => match arrival.notice {
            None => {
                w.byte(ARRIVED);
                write_arrival(&mut w, arrival);
            }
            Some(notice) => {
                w.byte(ARRIVED_NOTICED);
                write_arrival(&mut w, arrival);
                w.fixed(notice.bytes());
            }
        },
        What::Placed { id, recipient, place } => {
            w.byte(PLACED);
            w.fixed(id.bytes());
            write_line(&mut w, recipient);
            w.option(place.as_ref(), write_place);
        }
        What::Attempted { id, tried } => {
            w.byte(ATTEMPTED);
            w.fixed(id.bytes());
            w.list(tried, write_tried);
        }
        What::Told { id, notice, told } => {
            w.byte(TOLD);
            w.fixed(id.bytes());
            w.fixed(notice.bytes());
            w.list(told, write_pair);
        }
        What::Ordered { id, order } => {
            w.byte(ORDERED);
            w.fixed(id.bytes());
            w.byte(match order {
                Order::Hold => 0,
                Order::Retry => 1,
                Order::Drop => 2,
                Order::Cancel => 3,
            });
        }
    }
    w.finish()
}

/// From storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_event(key: &[u8], value: &[u8]) -> Result<What, CorruptRecord> {
    decode(key, value, VERSION, |r| match r.byte()? {
        ARRIVED => Ok(What::Arrived(Box::new(read_arrival(r)?))),
        ARRIVED_NOTICED => {
            let arrival = read_arrival(r)?;
            Ok(What::Arrived(Box::new(Arrival { notice: Some(read_id(r)?), ..arrival })))
        }
        PLACED => {
            let (id, recipient) = (read_id(r)?, read_line(r)?);
            Ok(What::Placed { id, recipient, place: r.option(read_place)? })
        }
        ATTEMPTED => Ok(What::Attempted { id: read_id(r)?, tried: r.list(read_tried)? }),
        TOLD => {
            let (id, notice) = (read_id(r)?, read_id(r)?);
            Ok(What::Told { id, notice, told: r.list(read_pair)? })
        }
        ORDERED => {
            let id = read_id(r)?;
            let order = match r.byte()? {
                0 => Order::Hold,
                1 => Order::Retry,
                2 => Order::Drop,
                3 => Order::Cancel,
                _ => return Err("what was wanted is not known"),
            };
            Ok(What::Ordered { id, order })
        }
        _ => Err("what happened is not known"),
    })
}

fn write_arrival(w: &mut Writer, arrival: &Arrival) {
    w.option(arrival.message_id.as_ref(), write_line);
    w.fixed(&arrival.id.to_be_bytes());
    for line in [&arrival.protocol, &arrival.peer, &arrival.client_name, &arrival.sender] {
        write_line(w, line);
    }
    w.option(arrival.account, |w, account| w.number(account.get()));
    w.list(&arrival.recipients, write_line);
    w.number(arrival.size);
    w.list(&arrival.checks, write_pair);
    w.list(&arrival.places, write_place);
    w.list(&arrival.queued, |w, id| w.fixed(id.bytes()));
    w.list(&arrival.replies, write_line);
}

fn read_arrival(r: &mut Reader<'_>) -> Result<Arrival, Fault> {
    let message_id = r.option(read_line)?;
    let id = u64::from_be_bytes(r.fixed()?);
    let (protocol, peer) = (read_line(r)?, read_line(r)?);
    let (client_name, sender) = (read_line(r)?, read_line(r)?);
    let account = r.option(|r| r.number().map(AccountId))?;
    let (recipients, size) = (r.list(read_line)?, r.number()?);
    let (checks, places) = (r.list(read_pair)?, r.list(read_place)?);
    let (queued, replies) = (r.list(read_id)?, r.list(read_line)?);
    Ok(Arrival {
        message_id,
        id,
        protocol,
        peer,
        client_name,
        account,
        sender,
        recipients,
        size,
        checks,
        places,
        queued,
        notice: None,
        replies,
    })
}

fn write_place(w: &mut Writer, place: &Placement) {
    w.number(place.account.get());
    write_line(w, &place.mailbox);
    w.number(u64::from(place.uid.get()));
}

fn read_place(r: &mut Reader<'_>) -> Result<Placement, Fault> {
    let (account, mailbox) = (AccountId(r.number()?), read_line(r)?);
    let uid = Uid::new(r.number_u32()?).ok_or("a UID is zero")?;
    Ok(Placement { account, mailbox, uid })
}

fn write_tried(w: &mut Writer, tried: &Tried) {
    write_line(w, &tried.recipient);
    write_progress(w, tried.progress);
    w.number(u64::from(tried.attempts));
    w.option(tried.next, |w, next| w.signed(next));
    w.option(tried.remote.as_ref(), write_line);
    w.option(tried.reply.as_ref(), write_line);
}

fn read_tried(r: &mut Reader<'_>) -> Result<Tried, Fault> {
    let recipient = read_line(r)?;
    let progress = read_progress(r)?;
    let (attempts, next) = (r.number_u32()?, r.option(|r| r.signed())?);
    let (remote, reply) = (r.option(read_line)?, r.option(read_line)?);
    Ok(Tried { recipient, progress, attempts, next, remote, reply })
}

fn write_line(w: &mut Writer, line: &Line) {
    w.bytes(line.as_str().as_bytes());
}

fn read_line(r: &mut Reader<'_>) -> Result<Line, Fault> {
    Line::stored(r.text()?).ok_or("a text is no line")
}

fn write_pair(w: &mut Writer, (one, other): &(Line, Line)) {
    write_line(w, one);
    write_line(w, other);
}

fn read_pair(r: &mut Reader<'_>) -> Result<(Line, Line), Fault> {
    Ok((read_line(r)?, read_line(r)?))
}

fn read_id(r: &mut Reader<'_>) -> Result<QueueId, Fault> {
    r.fixed().map(QueueId::from_bytes)
}

const ARRIVED: u8 = 1;
const PLACED: u8 = 2;
const ATTEMPTED: u8 = 3;
const TOLD: u8 = 4;
const ORDERED: u8 = 5;
/// As [`ARRIVED`], with the notice behind it.
const ARRIVED_NOTICED: u8 = 6;

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use mail_queue::Progress;

    use super::super::tests::assert_damage_is_noticed;
    use super::*;
    use crate::story::{CHECKS_MAX, LINE_BYTES_MAX, LISTED_MAX};

    fn line(text: &str) -> Line {
        Line::new(text)
    }

    fn id(number: u8) -> QueueId {
        QueueId::new(1_800_000_000, [number; 7])
    }

    fn place() -> Placement {
        let uid = Uid::new(u32::MAX).unwrap();
        Placement { account: AccountId(u64::MAX), mailbox: line("Lists/Rust"), uid }
    }

    fn arrival() -> Arrival {
        Arrival {
            message_id: Some(line("1@x.example")),
            id: 77,
            protocol: line("ESMTPS"),
            peer: line("192.0.2.1"),
            client_name: line("mx.x.example"),
            account: Some(AccountId(3)),
            sender: line("a@x.example"),
            recipients: vec![line("b@y.example"), line("c@y.example")],
            size: 1234,
            checks: vec![(line("spf"), line("pass"))],
            places: vec![place()],
            queued: vec![id(1)],
            notice: None,
            replies: vec![line("250 2.0.0 Accepted")],
        }
    }

    fn tried() -> Tried {
        Tried {
            recipient: line("b@y.example"),
            progress: Progress::Waiting,
            attempts: 2,
            next: Some(1_800_000_300),
            remote: Some(line("mx.y.example")),
            reply: Some(line("451 4.7.1 come again")),
        }
    }

    #[test]
    fn events_read_back_and_damage_is_noticed() {
        let ended = Tried { progress: Progress::Failed, next: None, remote: None, ..tried() };
        let recipient = line("b@y.example");
        for what in [
            What::Arrived(Box::new(arrival())),
            What::Arrived(Box::default()),
            What::Arrived(Box::new(Arrival { notice: Some(id(3)), ..arrival() })),
            What::Placed { id: id(1), recipient: recipient.clone(), place: Some(place()) },
            What::Placed { id: id(1), recipient: recipient.clone(), place: None },
            What::Attempted { id: id(1), tried: vec![tried(), ended] },
            What::Told { id: id(1), notice: id(2), told: vec![(recipient, line("failed"))] },
            What::Ordered { id: id(1), order: Order::Drop },
            What::Ordered { id: id(1), order: Order::Cancel },
        ] {
            let bytes = encode_event(&what);
            assert_eq!(decode_event(b"k", &bytes), Ok(what));
            assert_damage_is_noticed(&bytes, |bytes| decode_event(b"k", bytes));
        }
    }

    #[test]
    fn the_longest_events_fit_in_a_row() {
        let long = line(&"x".repeat(LINE_BYTES_MAX));
        let place = Placement { mailbox: long.clone(), ..place() };
        let arrival = Arrival {
            message_id: Some(long.clone()),
            protocol: long.clone(),
            peer: long.clone(),
            client_name: long.clone(),
            sender: long.clone(),
            recipients: vec![long.clone(); LISTED_MAX],
            size: u64::MAX,
            checks: vec![(long.clone(), long.clone()); CHECKS_MAX],
            places: vec![place; LISTED_MAX],
            queued: vec![id(1); LISTED_MAX],
            notice: Some(id(2)),
            replies: vec![long.clone(); LISTED_MAX],
            ..arrival()
        };
        let tried = Tried {
            recipient: long.clone(),
            remote: Some(long.clone()),
            reply: Some(long),
            ..tried()
        };
        for what in [
            What::Arrived(Box::new(arrival)),
            What::Attempted { id: id(1), tried: vec![tried; LISTED_MAX] },
        ] {
            let bytes = encode_event(&what).len();
            assert!(bytes <= store::limits::VALUE_BYTES_MAX, "{bytes} bytes");
        }
    }
}
