//! COMPRESS. RFC 4978 §3

use imap_proto::types::Code;

use crate::reply::{Flow, Reply, Run, end};
use crate::{Compressed, Then};

pub(crate) fn begin(algorithm: &str, run: &mut Run<'_>) -> Flow {
    if algorithm != "DEFLATE" {
        return Err(Reply::bad("There is no such compression"));
    }
    // BAD: NO is for a layer of another kind, and TLS here compresses nothing. RFC 4978 §3
    if run.state.config.compression == Compressed::Yes {
        return Err(Reply::bad("DEFLATE is active already").with(Code::CompressionActive));
    }
    run.state.config.compression = Compressed::Yes;
    end(Reply::ok("DEFLATE active").then(Then::Compress))
}
