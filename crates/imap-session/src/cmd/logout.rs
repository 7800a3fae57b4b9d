//! LOGOUT. RFC 9051 §6.1.3

use super::close;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    close::leave(run, |_| end(Reply::ok("LOGOUT completed").closing("Logging out")))
}
