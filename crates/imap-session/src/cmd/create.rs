//! CREATE, with the special use that the mailbox is to have. RFC 9051 §6.3.4, RFC 6154 §3

use imap_proto::types::{Code, Create, UseAttribute};
use mail_types::{MailboxName, SpecialUse};
use mailbox::{Operation, Outcome, Refusal};

use crate::reply::{Flow, Reply, Run, end, wait};
use crate::{Answer, Need, errors, place};

pub(crate) fn begin(create: &Create, run: &mut Run<'_>) -> Flow {
    let text = create.mailbox.decode(run.state.names()).map_err(errors::bad_name)?;
    // A separator at the end says that names below it will come: it is not part of the name.
    // RFC 9051 §6.3.4
    let text = text.strip_suffix(MailboxName::SEPARATOR).unwrap_or(&text);
    let name = MailboxName::new(text)
        .map_err(|why| errors::bad_name(imap_proto::types::InvalidName::Name(why)))?;
    let special_use = special_use(&create.special_use)?;
    place::go(place::named(name, run), no_place, run, move |name, _| submit(name, special_use))
}

fn submit(name: MailboxName, special_use: Vec<SpecialUse>) -> Flow {
    wait(Need::Submit(Operation::CreateMailbox { name, special_use }), |answer, run| match answer {
        // RFC 8474 §4.1
        Answer::Submitted(Ok(Outcome::Created { id, .. })) => {
            let id = run.state.object_id(id);
            end(Reply::ok("CREATE completed").with(Code::MailboxId(id)))
        }
        // Whatever is hidden from the session: it cannot make a mailbox there.
        Answer::Submitted(Err(Refusal::NoPermission { .. })) => Err(errors::no_permission()),
        other => Err(errors::unexpected(&other)),
    })
}

/// Among the names of others nothing can be made but what an account grants; whether an account
/// exists is not told. RFC 4314 §6
fn no_place() -> Reply {
    errors::no_permission()
}

/// Uses that no real mailbox can have here are refused before anything is made. RFC 6154 §3
fn special_use(attributes: &[UseAttribute]) -> Result<Vec<SpecialUse>, Reply> {
    attributes
        .iter()
        .map(|attribute| match attribute {
            UseAttribute::Use(special_use) => Ok(*special_use),
            UseAttribute::Other(_) => {
                Err(Reply::no("No mailbox can have this special use").with(Code::UseAttr))
            }
        })
        .collect()
}
