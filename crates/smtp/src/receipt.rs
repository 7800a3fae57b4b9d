//! Notices of success about what is done with when it was taken: who wants one, who may have one,
//! and how many there are. RFC 3461 §5.2.3, §5.2.7
//!
//! A stranger is told only what he asked for, and only if SPF proves that MAIL FROM is of those who
//! may use it: a notice must never hit somebody whose name was borrowed. What is told does not
//! depend on whether the message was taken for junk, or notices would teach senders of junk what
//! passes; that the recipient exists was said by 250 already. A notice has the header of the
//! message and no more, there is one for a message, and strangers have their measure of them.
//! Nobody is told of failures: they are replies.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail_service::Service;
use mail_service::queue::{self, Action, Origin, Terms};
use mail_service::story::Story;
use smtp_session::{Notify, Role, Transaction};
use tracing::{error, info};

use crate::client::{queued_recipient, queued_terms};
use crate::outbound::Outbound;
use crate::server::SmtpServer;

/// A message whose sender wants to hear of success.
pub(crate) struct Receipt {
    terms: Terms,
    /// In the order of RCPT, each with what becomes of him once the message is taken.
    recipients: Vec<(queue::Recipient, Option<Action>)>,
    header: Vec<u8>,
    log_id: String,
    outbound: Arc<dyn Outbound>,
    allowance: Arc<NoticeAllowance>,
}

impl Receipt {
    /// `done` says of each recipient what becomes of him once the message is taken. `None` if there
    /// will be no success that somebody wants to hear of, or nobody could be told.
    pub(crate) fn asked(
        server: &SmtpServer,
        said: &Transaction,
        id: u64,
        done: Vec<Option<Action>>,
    ) -> Option<Self> {
        let outbound = server.settings.outbound.as_ref()?;
        let is_news = |(to, done): (&smtp_session::Recipient, &Option<Action>)| {
            done.is_some() && to.notify.is_some_and(|notify| notify.success)
        };
        let is_asked = said.recipients.iter().zip(&done).any(is_news);
        if !is_asked || said.reverse_path.is_empty() || server.settings.role == Role::Lmtp {
            return None;
        }
        Some(Self {
            terms: queued_terms(said, Origin::Stranger),
            recipients: said.recipients.iter().cloned().map(queued_recipient).zip(done).collect(),
            header: Vec::new(),
            log_id: format!("{id:016x}"),
            outbound: Arc::clone(outbound),
            allowance: Arc::clone(&server.settings.notices),
        })
    }

    /// Whether it is proved who the sender is, and how.
    pub(crate) fn proved(&mut self, origin: Origin) {
        self.terms.origin = origin;
    }

    /// The header as it came.
    pub(crate) fn header(&mut self, header: &[u8]) {
        self.header = header.to_vec();
    }

    /// The message is where it belongs, whatever comes of the notice.
    pub(crate) async fn send(self, service: &Service, story: &mut Story) {
        let id = self.log_id.clone();
        if let Err(why) = self.admit(service).await {
            info!(id, %why, "no notice to the sender");
            return story.check("notice", &format!("none, {why}"));
        }
        let Self { terms, recipients, header, log_id, .. } = self;
        let receipt = queue::Receipt { terms, recipients, text: header, log_id };
        match service.send_receipt(receipt).await {
            Ok(Some(notice)) => {
                info!(id, %notice, "the sender is told of success");
                story.noticed(notice);
            }
            Ok(None) => {}
            Err(error) => {
                error!(id, %error, "a notice to the sender was not queued");
                story.check("notice", "none, the queue did not take it");
            }
        }
    }

    /// Whether the sender may be told, and can be.
    async fn admit(&self, service: &Service) -> Result<(), Withheld> {
        let sender = self.terms.told().ok_or(Withheld::NotProved)?;
        // A store that cannot say whether he is one of ours takes no notice either.
        let is_local = service.is_local(sender).await.unwrap_or(false);
        if !is_local && !self.outbound.carries(sender) {
            return Err(Withheld::NoWay);
        }
        let is_counted = self.terms.origin == Origin::Vouched;
        let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
        if is_counted && !self.allowance.take(domain) { Err(Withheld::TooMany) } else { Ok(()) }
    }
}

/// Why a notice that was asked for is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Withheld {
    NotProved,
    NoWay,
    TooMany,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotProved => "SPF does not prove the sender",
            Self::NoWay => "nothing carries mail to the sender",
            Self::TooMany => "there were too many in this hour",
        })
    }
}

/// What becomes of a recipient at once who stands for so many. Mail for one who stands for one
/// address that is not kept here goes on with all that was asked for. RFC 3461 §5.2.7
pub(crate) fn done_at_once(destinations: usize, is_kept: bool) -> Option<Action> {
    match destinations {
        1 if is_kept => Some(Action::Delivered),
        0 | 1 => None,
        _ => Some(Action::Expanded),
    }
}

/// What is asked for of one who was named twice. Who asks for nothing wants to hear of failures.
pub(crate) fn asked_by_both(one: Option<Notify>, other: Option<Notify>) -> Option<Notify> {
    one.or(other)?;
    let unasked = Notify { failure: true, ..Notify::default() };
    let (one, other) = (one.unwrap_or(unasked), other.unwrap_or(unasked));
    Some(Notify {
        success: one.success || other.success,
        failure: one.failure || other.failure,
        delay: one.delay || other.delay,
    })
}

/// How many notices strangers get. One for all listeners. What is counted is kept in memory: a
/// restart forgets it.
#[derive(Debug)]
pub struct NoticeAllowance {
    start: Instant,
    hour: Mutex<Hour>,
}

/// One hour's count. It has no more domains than notices.
#[derive(Debug, Default)]
struct Hour {
    number: u64,
    all: u32,
    domains: HashMap<String, u32>,
}

impl Default for NoticeAllowance {
    fn default() -> Self {
        Self { start: Instant::now(), hour: Mutex::default() }
    }
}

impl NoticeAllowance {
    /// Counts a notice to a domain; whether there may be one more.
    fn take(&self, domain: &str) -> bool {
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        hour.take(domain, self.start.elapsed())
    }
}

impl Hour {
    fn take(&mut self, domain: &str, now: Duration) -> bool {
        let number = now.as_secs() / HOUR_SECS;
        if number != self.number {
            *self = Self { number, ..Self::default() };
        }
        let domain = domain.to_ascii_lowercase();
        let of_domain = self.domains.get(&domain).copied().unwrap_or(0);
        if self.all >= NOTICES_MAX || of_domain >= NOTICES_OF_DOMAIN_MAX {
            return false;
        }
        self.all += 1;
        self.domains.insert(domain, of_domain + 1);
        true
    }
}

const HOUR_SECS: u64 = 3600;

/// Notices to one domain in an hour. People who ask for them ask for few; a program that sends junk
/// shall not fill the queue with them.
const NOTICES_OF_DOMAIN_MAX: u32 = 60;

/// Notices to all strangers in an hour: names of domains cost nothing to who has one.
const NOTICES_MAX: u32 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_so_many_notices_an_hour_each_domain_and_all_together() {
        let mut hour = Hour::default();
        let at = Duration::from_secs;
        let took = (0..100).filter(|_| hour.take("a.example", at(5))).count();
        assert_eq!(took, 60);
        assert!(!hour.take("A.Example", at(3599)) && hour.take("b.example", at(3599)));
        assert!(hour.take("a.example", at(3600)));
        let took = (0..1000).filter(|n| hour.take(&format!("{n}.example"), at(3601))).count();
        assert_eq!((took, hour.domains.len()), (599, 600));
        assert!(!hour.take("a.example", at(7199)) && hour.take("a.example", at(7200)));
        assert_eq!(hour.domains.len(), 1);
    }

    #[test]
    fn who_is_named_twice_is_told_of_what_either_asked_for() {
        let never = Notify::default();
        let (success, failure) =
            (Notify { success: true, ..never }, Notify { failure: true, ..never });
        let all = Notify { success: true, failure: true, delay: false };
        for (one, other, both) in [
            (None, None, None),
            (Some(never), Some(never), Some(never)),
            (Some(success), Some(never), Some(success)),
            (Some(success), Some(failure), Some(all)),
            (Some(success), None, Some(all)),
            (Some(never), None, Some(failure)),
        ] {
            assert_eq!(asked_by_both(one, other), both);
            assert_eq!(asked_by_both(other, one), both);
        }
    }

    #[test]
    fn only_who_is_kept_here_or_stands_for_several_is_told_of_at_once() {
        assert_eq!(done_at_once(1, true), Some(Action::Delivered));
        assert_eq!(done_at_once(1, false), None);
        for is_kept in [true, false] {
            assert_eq!(done_at_once(2, is_kept), Some(Action::Expanded));
        }
    }
}
