//! What goes wrong, as tagged responses: the one place where errors get their words and codes.

use imap_proto::types::{Code, InvalidName};
use mailbox::{Limit, Metadata, Refusal, Resource};

use crate::language::Text;
use crate::reply::Reply;
use crate::{Answer, AuthenticationRefused, Trouble};

/// An operation that was refused. RFC 5530 §3
pub(crate) fn refusal(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::NonExistent => no_such_mailbox(),
        Refusal::NoTarget => try_create(),
        Refusal::AlreadyExists => {
            Reply::no("There is a mailbox of this name").with(Code::AlreadyExists)
        }
        Refusal::HasChildren => {
            Reply::no("There is no such mailbox, only others below it").with(Code::HasChildren)
        }
        Refusal::InboxImmutable => {
            Reply::no("INBOX can be neither created nor deleted").with(Code::Cannot)
        }
        Refusal::IntoItself => {
            Reply::no("A mailbox cannot be moved below itself").with(Code::Cannot)
        }
        Refusal::Name(_) => Reply::no("A mailbox cannot have this name").with(Code::Cannot),
        // RFC 6154 §3
        Refusal::SpecialUseTaken(special_use) => {
            let text = Text::with("Another mailbox is used as {}", special_use);
            Reply::no(text).with(Code::UseAttr)
        }
        Refusal::NoSuchMessage => {
            Reply::no("The message no longer exists").with(Code::ExpungeIssued)
        }
        Refusal::SpecialUseUnknown => {
            Reply::no("No mailbox can have this special use").with(Code::UseAttr)
        }
        // RFC 5464 §3.3
        Refusal::ReadOnlyEntry => {
            Reply::no("Only who runs the server can set this").with(Code::NoPerm)
        }
        Refusal::NoPermission { visible: true } => no_permission(),
        // RFC 4314 §6: as if it did not exist.
        Refusal::NoPermission { visible: false } => no_such_mailbox(),
        // RFC 5464 §4.3
        Refusal::NoPrivateEntries => {
            Reply::no("Private annotations of this mailbox are its owner's")
                .with(Code::MetadataNoPrivate)
        }
        // RFC 9208 §4.3.1
        Refusal::OverQuota(resource) => Reply::no(quota_text(resource)).with(Code::OverQuota),
        Refusal::UnknownMessage(_) => server_bug(),
        // RFC 5257 §3.2.1
        Refusal::Annotation => {
            Reply::no("Nothing can be kept under this name, or not this value").with(Code::Cannot)
        }
        Refusal::NoSuchPart => Reply::bad("The message has no such part"),
        Refusal::Limit(limit) => Reply::no(limit_text(limit)).with(limit_code(limit)),
        Refusal::UidsExhausted => Reply::no("The mailbox has no UID left").with(Code::Limit),
        Refusal::UidValiditiesExhausted => {
            Reply::no("The account has no UIDVALIDITY left").with(Code::Limit)
        }
        Refusal::ModSeqsExhausted => Reply::no("The account has no modseq left").with(Code::Limit),
        Refusal::NotLoaded(_) => server_bug(),
    }
}

fn limit_code(limit: Limit) -> Code {
    match limit {
        // RFC 5257 §4.5
        Limit::AnnotationValue => Code::AnnotateTooBig,
        Limit::AnnotationsOfMessage | Limit::AnnotationsOfMailbox => Code::AnnotateTooMany,
        // RFC 5464 §4.3
        Limit::MetadataValue => {
            Code::MetadataMaxSize(u32::try_from(Metadata::VALUE_BYTES_MAX).unwrap_or(u32::MAX))
        }
        Limit::MetadataEntries | Limit::MetadataBytes => Code::MetadataTooMany,
        _ => Code::Limit,
    }
}

fn quota_text(resource: Resource) -> &'static str {
    match resource {
        Resource::Storage => "The account has no space left for this",
        Resource::Messages => "The account has as many messages as it may have",
        Resource::Mailboxes => "The account has as many mailboxes as it may have",
        Resource::AnnotationStorage => "The account has no space left for annotations",
    }
}

fn limit_text(limit: mailbox::Limit) -> &'static str {
    match limit {
        mailbox::Limit::Mailboxes => "The account has as many mailboxes as it may have",
        mailbox::Limit::Subscriptions => "The account has as many subscriptions as it may have",
        mailbox::Limit::Messages => "The mailbox has as many messages as it may have",
        mailbox::Limit::KeywordsInMailbox => "The mailbox has as many keywords as it may have",
        mailbox::Limit::KeywordsOnMessage => "A message cannot have so many keywords",
        mailbox::Limit::AnnotationValue => "The value is longer than one may be",
        mailbox::Limit::AnnotationsOfMessage => "The message has as many annotations as it may",
        mailbox::Limit::AnnotationsOfMailbox => "Annotations take all their space in the mailbox",
        mailbox::Limit::MetadataValue => "The value is longer than one may be",
        mailbox::Limit::MetadataEntries => "There are as many annotations as there may be",
        mailbox::Limit::MetadataBytes => "The annotations of the account take all their space",
        mailbox::Limit::AclEntries => "The list has as many entries as it may have",
    }
}

/// A login that failed. Which of name and password was wrong is not told. RFC 5530 §3
pub(crate) fn authentication(refused: AuthenticationRefused) -> Reply {
    match refused {
        AuthenticationRefused::Credentials => {
            Reply::no("Wrong name or password").with(Code::AuthenticationFailed)
        }
        AuthenticationRefused::Authorization => {
            Reply::no("Not allowed to act for this user").with(Code::AuthorizationFailed)
        }
        AuthenticationRefused::Disabled => {
            Reply::no("This account cannot be used now").with(Code::ContactAdmin)
        }
        AuthenticationRefused::Malformed => Reply::bad("That is no message of this mechanism"),
        AuthenticationRefused::TooMany => {
            Reply::no("Too many failed logins, try again later").with(Code::Unavailable)
        }
        // RFC 5530 §3: a temporary failure, also of authentication that others do.
        AuthenticationRefused::Unavailable => {
            Reply::no("The login provider cannot be reached, try again later")
                .with(Code::Unavailable)
        }
    }
}

/// Something that could not be done although nobody did anything wrong.
pub(crate) fn trouble(trouble: Trouble) -> Reply {
    match trouble {
        Trouble::Unavailable => {
            Reply::no("The mail store cannot be reached, try again later").with(Code::Unavailable)
        }
        // RFC 9208 §4.3.1: also for the quota of the whole server.
        Trouble::StorageFull => {
            Reply::no("The mail store is full; expunge something, or try again later")
                .with(Code::OverQuota)
        }
        Trouble::Corrupt => Reply::no("Stored mail is damaged").with(Code::Corruption),
        Trouble::Limit => {
            Reply::no("The server has too much to do, try again later").with(Code::Limit)
        }
        Trouble::AccountGone => {
            Reply::no("The account is gone").with(Code::Unavailable).closing("The account is gone")
        }
    }
}

/// An answer that does not fit its need: trouble, or a mistake of the shell.
pub(crate) fn unexpected(answer: &Answer) -> Reply {
    match answer {
        Answer::Failed(why) => trouble(*why),
        Answer::Submitted(Err(why)) => refusal(*why),
        Answer::Ready
        | Answer::Authenticated { .. }
        | Answer::AuthenticationRefused(_)
        | Answer::Challenge(_)
        | Answer::ClientResponse(_)
        | Answer::Submitted(Ok(_))
        | Answer::Rows(_)
        | Answer::Read(_)
        | Answer::Held(_)
        | Answer::UrlTokens(_)
        | Answer::UrlOpened(_)
        | Answer::Visited(_)
        | Answer::Sharers(_)
        | Answer::BadIdentifier => server_bug(),
    }
}

pub(crate) fn server_bug() -> Reply {
    Reply::no("The server made a mistake").with(Code::ServerBug)
}

/// RFC 4314 §4, RFC 5530 §3
pub(crate) fn no_permission() -> Reply {
    Reply::no("You do not have the right to do this").with(Code::NoPerm)
}

pub(crate) fn no_such_mailbox() -> Reply {
    Reply::no("There is no such mailbox").with(Code::NonExistent)
}

/// RFC 9051 §6.3.12, §6.4.7
pub(crate) fn try_create() -> Reply {
    Reply::no("There is no such mailbox").with(Code::TryCreate)
}

/// A name that no mailbox can have, where an existing one is wanted.
pub(crate) fn no_such_name(_: InvalidName) -> Reply {
    no_such_mailbox()
}

/// A name that no mailbox can have, where a new one is wanted.
pub(crate) fn bad_name(why: InvalidName) -> Reply {
    let text = match why {
        InvalidName::Encoding => "The name is not encoded as it has to be",
        InvalidName::Name(mail_types::NameError::Empty) => "A mailbox needs a name",
        InvalidName::Name(mail_types::NameError::TooLong) => "The name is too long",
        InvalidName::Name(mail_types::NameError::TooDeep) => "The name has too many parts",
        InvalidName::Name(mail_types::NameError::EmptyPart) => {
            "A part of the name between separators is empty"
        }
        InvalidName::Name(mail_types::NameError::ControlCharacter) => {
            "The name holds a control character"
        }
    };
    Reply::no(text).with(Code::Cannot)
}
