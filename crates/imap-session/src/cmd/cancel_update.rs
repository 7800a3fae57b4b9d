//! CANCELUPDATE. RFC 5267 §4.3.5

use super::search::context;
use crate::reply::{Flow, Run};

pub(crate) fn begin(tags: &[String], run: &mut Run<'_>) -> Flow {
    context::cancel(tags, run)
}
