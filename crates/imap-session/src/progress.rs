//! How far a long command has come, told now and then: a client then does not give it up.
//! RFC 9585

use imap_proto::types::{Code, Progress, Response, Status, StatusKind};

use crate::Need;
use crate::reply::{Flow, Run, wait_ready};

/// Says how far the command has come, if that is due, and goes on with it.
///
/// `done` is less than `goal`, or nothing is said. RFC 9585 §4
pub(crate) fn tell(
    done: usize,
    goal: usize,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    if !is_due(run) || done >= goal {
        return then(run);
    }
    run.state.progress_at = run.now.seconds();
    let number = |count: usize| u32::try_from(count).ok();
    let progress =
        Progress { tag: Some(run.tag.as_str().to_owned()), done: number(done), goal: number(goal) };
    let language = run.state.enabled.language;
    let text = language.filled("{} of {} messages are done", &[&done, &goal]);
    let status = Status::untagged(StatusKind::Ok, text);
    run.write(&Response::Status(status.with_code(Code::InProgress(Some(progress)))));
    wait_ready(Need::Flush, then)
}

/// Whether the client has not been told for so long that it should be now.
pub(crate) fn is_due(run: &Run<'_>) -> bool {
    run.now.seconds().saturating_sub(run.state.progress_at) >= INTERVAL_SECONDS
}

/// Clients give up after 30 seconds of silence or more: so two of these may be lost on the way, and
/// nobody is told more often than a person looks.
const INTERVAL_SECONDS: i64 = 10;
