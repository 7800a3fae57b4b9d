//! Work that keeps a core busy: done where no other connection waits for it.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Does the work of looking at so many octets, or of signing them.
///
/// For a long message the other tasks of this thread are handed to another one first, which costs
/// less than copying the message there. A runtime of one thread has nobody to hand them to.
pub(crate) fn apart<T>(octets: usize, work: impl FnOnce() -> T) -> T {
    let has_others =
        || Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if octets > INLINE_BYTES_MAX && has_others() { block_in_place(work) } else { work() }
}

/// The longest message that is looked at in place. Its canonical form and hash take about 0.2 ms,
/// as long as one signature takes anyway; a message of 25 MiB takes a hundred.
const INLINE_BYTES_MAX: usize = 64 * 1024;
