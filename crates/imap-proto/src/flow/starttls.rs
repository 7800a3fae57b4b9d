//! STARTTLS. RFC 9051 §6.2.1

use crate::frame::{Framer, Limits};

/// Bytes were received in the clear behind the end of STARTTLS, or behind its answer: somebody put
/// them there who wants them taken for protected ones. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaintextLeft {
    /// How many.
    pub count: usize,
}

/// Makes sure that nothing said in the clear survives the handshake, at either side: a server calls
/// it with what it has read and not framed when it answers STARTTLS, a client when that answer has
/// come. The framer starts anew.
///
/// # Errors
/// If something is left. RFC 9051 §6.2.1 lets a server throw it away; closing also tells an
/// honest client that someone is in between.
pub fn upgrade(framer: &mut Framer, unread: &[u8], limits: Limits) -> Result<(), PlaintextLeft> {
    let is_clean = framer.is_between_commands() && unread.is_empty();
    framer.reset();
    framer.set_limits(limits);
    if is_clean { Ok(()) } else { Err(PlaintextLeft { count: unread.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Event;

    #[test]
    fn a_command_injected_behind_starttls_is_found_at_every_split() {
        let stream = b"a STARTTLS\r\nb NOOP\r\n";
        for split in 0..=stream.len() {
            let mut framer = Framer::server(Limits::BEFORE_LOGIN);
            let mut unread: Vec<u8> = Vec::new();
            let mut is_complete = false;
            for part in [&stream[..split], &stream[split..]] {
                unread.extend_from_slice(part);
                while !is_complete {
                    let step = framer.push(&unread);
                    let (consumed, event) = (step.consumed, step.event);
                    is_complete = event == Event::Complete;
                    let is_out = event == Event::NeedMore;
                    unread.drain(..consumed);
                    if is_out {
                        break;
                    }
                }
            }
            assert_eq!(framer.frame().bytes, b"a STARTTLS");
            let found = upgrade(&mut framer, &unread, Limits::BEFORE_LOGIN);
            assert_eq!(found, Err(PlaintextLeft { count: 8 }), "split {split}");
        }
    }

    #[test]
    fn a_clean_starttls_goes_on() {
        let mut framer = Framer::server(Limits::BEFORE_LOGIN);
        assert_eq!(framer.push(b"a STARTTLS\r\n").event, Event::Complete);
        assert_eq!(upgrade(&mut framer, b"", Limits::BEFORE_LOGIN), Ok(()));
        assert_eq!(framer.push(b"b NOOP\r\n").event, Event::Complete);
        assert_eq!(framer.frame().bytes, b"b NOOP");
    }
}
