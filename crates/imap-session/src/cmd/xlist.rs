//! XLIST: LIST with special uses as Gmail told them before RFC 6154. It is answered and not
//! announced: a client that knows SPECIAL-USE has to take that.

use imap_proto::types::{ListAttribute, ListReply, Lsub, Response, UseAttribute};
use mail_types::{MailboxName, SpecialUse};
use mailbox::tree::{self, Node, Pattern};

use super::list;
use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::{Need, render};

pub(crate) fn begin(xlist: Lsub) -> Flow {
    wait_ready(Need::Refresh, move |run| tell(&xlist, run))
}

fn tell(xlist: &Lsub, run: &mut Run<'_>) -> Flow {
    let account = run.account()?;
    let names = run.state.names();
    let text = xlist.reference.decode(names).ok().zip(xlist.pattern.decode(names).ok());
    let pattern =
        text.and_then(|(reference, name)| Pattern::new(&format!("{reference}{name}")).ok());
    let Some(pattern) = pattern else { return end(Reply::ok("XLIST completed")) };
    for node in tree::nodes(account).iter().filter(|node| pattern.matches(node.name.as_str())) {
        let exists = node.mailbox.is_some() || node.children.exist();
        if !exists {
            continue;
        }
        run.write(&Response::Xlist(ListReply {
            attributes: attributes(node, run)?,
            delimiter: Some(MailboxName::SEPARATOR),
            mailbox: render::name(&node.name, names),
            child_info: Vec::new(),
            old_name: None,
        }));
    }
    end(Reply::ok("XLIST completed"))
}

/// The special uses by their older names.
fn attributes(node: &Node, run: &Run<'_>) -> Result<Vec<ListAttribute>, Reply> {
    let mut attributes = list::attributes(node, run.account()?, false);
    for attribute in &mut attributes {
        if *attribute == ListAttribute::Use(UseAttribute::Use(SpecialUse::Junk)) {
            *attribute = ListAttribute::Use(UseAttribute::Other("\\Spam".to_owned()));
        }
    }
    if node.name == MailboxName::inbox() {
        attributes.push(ListAttribute::Use(UseAttribute::Other("\\Inbox".to_owned())));
    }
    Ok(attributes)
}
