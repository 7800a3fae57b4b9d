//! IDLE: the shell tells the session whenever the account may have changed. RFC 2177,
//! RFC 9051 §6.3.13

use imap_proto::types::{Continuation, Response};

use crate::reply::{Flow, Next, wait_ready};
use crate::sync::Told;
use crate::{Need, sync};

pub(crate) fn begin() -> Flow {
    wait_ready(Need::Refresh, |run| {
        let go_ahead = Continuation::Text { code: None, text: "idling".into() };
        run.write(&Response::Continuation(go_ahead));
        // What happened since the last command is told at once.
        sync::news(Told::Everything, run, |_| Ok(Next::Idle))
    })
}
