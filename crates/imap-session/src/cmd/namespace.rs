//! NAMESPACE: one personal namespace with an empty prefix. RFC 9051 §6.3.10

use imap_proto::types::{MailboxArg, NamespaceEntry, NamespaceReply, Response};
use mail_types::MailboxName;

use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    let personal =
        NamespaceEntry { prefix: MailboxArg::default(), delimiter: Some(MailboxName::SEPARATOR) };
    let reply = NamespaceReply { personal: vec![personal], ..NamespaceReply::default() };
    run.write(&Response::Namespace(reply));
    end(Reply::ok("NAMESPACE completed"))
}
