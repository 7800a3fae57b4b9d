//! NOOP and CHECK: what is new is told before their tagged response. RFC 9051 §6.1.2,
//! RFC 3501 §6.4.1

use crate::Need;
use crate::capability::Login;
use crate::reply::{Flow, Reply, Run, end, wait_ready};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    if run.state.login == Login::Before {
        return end(Reply::ok("NOOP completed"));
    }
    // CHECK has nothing more to do: every change is durable before it is acknowledged.
    wait_ready(Need::Refresh, |_| end(Reply::ok("Completed")))
}
