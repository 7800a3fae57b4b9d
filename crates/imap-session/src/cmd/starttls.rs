//! STARTTLS. RFC 9051 §6.2.1

use crate::reply::{Flow, Reply, Run, end};
use crate::{Then, TlsState};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    match run.state.config.tls {
        TlsState::Available => end(Reply::ok("Begin TLS negotiation now").then(Then::StartTls)),
        TlsState::Active => Err(Reply::bad("TLS is active already")),
        TlsState::Unavailable => Err(Reply::bad("TLS is not available here")),
    }
}
