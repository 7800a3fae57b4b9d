//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS, and LIST with MYRIGHTS. RFC 4314, RFC 8440
//!
//! They can be read, and are not announced: until they mean something they are refused as commands
//! that do not exist.

use crate::reply::{Flow, Reply};

pub(crate) fn begin() -> Flow {
    Err(Reply::bad("There is no such command"))
}
