//! ID. RFC 2971

use imap_proto::types::{IdParams, Response};

use crate::capability::Login;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(params: Option<IdParams>, run: &mut Run<'_>) -> Flow {
    // What a client says of itself decides nothing. RFC 2971 §3.3 ("MUST NOT" change behaviour)
    drop(params);
    let mut ours =
        vec![(b"name".to_vec(), Some(run.state.config.server_name.clone().into_bytes()))];
    // A stranger is not told which version has which weakness. RFC 2971 §4
    if run.state.login == Login::After {
        ours.push((b"version".to_vec(), Some(VERSION.as_bytes().to_vec())));
    }
    run.write(&Response::Id(Some(ours)));
    end(Reply::ok("ID completed"))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
