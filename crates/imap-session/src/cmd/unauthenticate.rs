//! UNAUTHENTICATE. RFC 8437

use super::close;
use crate::capability::{Login, is_hidden};
use crate::reply::{Flow, Reply, Run, end};
use crate::state::State;
use crate::{Compressed, SessionConfig, Then};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    // Behind a proxy that judges logins the command would be a way around it, so that it can be
    // switched off. RFC 8437 §8; BAD where it is not announced: §3
    if is_hidden(&run.state.config, Login::After, "UNAUTHENTICATE") {
        return Err(Reply::bad("UNAUTHENTICATE is switched off"));
    }
    close::leave(run, |run| {
        // All but TLS is as at the beginning, whatever it is; compression ends with the reply.
        // RFC 8437 §3, §4.1
        let config = std::mem::take(&mut run.state.config);
        let (compression, account_hidden) = (Compressed::No, Vec::new());
        *run.state = State::new(SessionConfig { compression, account_hidden, ..config });
        end(Reply::ok("Nobody is logged in").then(Then::Unauthenticate))
    })
}
