//! LSUB: the list of subscriptions as IMAP4rev1 asks for it. RFC 3501 §6.3.9

use imap_proto::types::{ListAttribute, ListReply, Lsub, Response};
use mail_types::MailboxName;
use mailbox::tree::{self, Node, Pattern};

use super::list::{self, NamesBelow};
use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::{Need, render};

pub(crate) fn begin(lsub: Lsub) -> Flow {
    wait_ready(Need::Refresh, move |run| tell(&lsub, run))
}

fn tell(lsub: &Lsub, run: &mut Run<'_>) -> Flow {
    let account = run.account()?;
    let names = run.state.names();
    let text = lsub.reference.decode(names).ok().zip(lsub.pattern.decode(names).ok());
    let text = text.map(|(reference, name)| format!("{reference}{name}"));
    let pattern = text.as_deref().and_then(|text| Pattern::new(text).ok());
    let Some(pattern) = pattern else { return end(Reply::ok("LSUB completed")) };
    let has_percent = text.is_some_and(|text| text.contains('%'));
    let nodes = tree::nodes(account);
    // With `%`, and only then, a name that is not subscribed stands for subscribed ones below it
    // that the pattern does not reach; then it has \Noselect, whatever it is. RFC 3501 §6.3.9
    let mut unreached = NamesBelow::default();
    for node in &nodes {
        if node.is_subscribed() && !pattern.matches(node.name.as_str()) {
            unreached.add(&node.name);
        }
    }
    for node in nodes.iter().filter(|node| pattern.matches(node.name.as_str())) {
        let attributes = if node.is_subscribed() {
            attributes(node, run)?
        } else if has_percent && unreached.has_below(&node.name) {
            vec![ListAttribute::NoSelect]
        } else {
            continue;
        };
        run.write(&Response::Lsub(ListReply {
            attributes,
            delimiter: Some(MailboxName::SEPARATOR),
            mailbox: render::name(&node.name, names),
            child_info: Vec::new(),
            old_name: None,
        }));
    }
    end(Reply::ok("LSUB completed"))
}

/// A subscribed name without a mailbox is listed like any other: it must not look like one of the
/// placeholders.
fn attributes(node: &Node, run: &Run<'_>) -> Result<Vec<ListAttribute>, Reply> {
    match node.mailbox {
        Some(_) => Ok(list::attributes(node, run.account()?, false)),
        None => Ok(Vec::new()),
    }
}
