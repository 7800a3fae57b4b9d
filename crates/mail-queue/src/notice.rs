//! What the sender is to be told.

use crate::entry::{Entry, Reply};

/// What one change of an entry means for its sender: one message tells all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of each recipient, in the order of the entry.
    pub told: Vec<Told>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which one, by its index in the entry.
    pub index: usize,
    /// What.
    pub action: Action,
    /// What the other side or this server said last.
    pub reply: Option<Reply>,
}

/// The Action field. RFC 3464 §2.3.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It could not be delivered; this server will not try again.
    Failed,
    /// As `Failed`, because its time was up.
    Expired,
    /// It could not be delivered yet.
    Delayed {
        /// Until when attempts go on.
        until: i64,
    },
    /// It is in its mailbox.
    Delivered,
    /// It was handed to a server that promises no notices.
    Relayed,
    /// It is with all whom its address stands for: in their mailboxes, or taken for them. RFC 3461
    /// §5.2.7.3
    Expanded,
}

impl Notice {
    /// What is told of a message that was done with when it was taken: of each recipient of the
    /// entry what became of him, if anything has, and if that was asked for. `None` if there is
    /// nothing to tell or nobody who may be told. RFC 3461 §5.2.3
    #[must_use]
    pub fn at_once(entry: &Entry, done: &[Option<Action>]) -> Option<Self> {
        entry.terms.told()?;
        let recipients = entry.recipients.iter().zip(done).enumerate();
        let wanted = recipients.filter(|(_, (recipient, _))| recipient.to.notify.wants_success());
        let told = wanted.filter_map(|(index, (_, action))| {
            action.map(|action| Told { index, action, reply: None })
        });
        let told: Vec<Told> = told.collect();
        (!told.is_empty()).then_some(Self { told })
    }
}

impl Action {
    /// Whether it tells a failure for good.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Expired)
    }

    /// The word for it. RFC 3464 §2.3.3
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed | Self::Expired => "failed",
            Self::Delayed { .. } => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Notify, Origin, Recipient, Terms};

    #[test]
    fn at_once_only_success_is_told_to_who_asked_for_it_and_may_be_told() {
        let on = |success| Notify::On { success, failure: true, delay: true };
        let asked = [on(true), Notify::Unasked, Notify::Never, on(false), on(true), on(true)];
        let done = [Some(Action::Delivered); 4];
        let done = [&done[..], &[None, Some(Action::Expanded)]].concat();
        let told = |sender: Option<&str>, origin| {
            let to = asked.map(|notify| Recipient { notify, ..Recipient::new("b@x.example") });
            let terms = Terms::new(sender.map(str::to_owned), origin);
            let entry = Entry::new(terms, to.to_vec(), 9, 0, None);
            let notice = Notice::at_once(&entry, &done)?;
            Some(notice.told.iter().map(|it| (it.index, it.action)).collect::<Vec<_>>())
        };
        let sender = Some("a@y.example");
        let expected = vec![(0, Action::Delivered), (5, Action::Expanded)];
        assert_eq!(told(sender, Origin::Vouched), Some(expected.clone()));
        assert_eq!(told(sender, Origin::Account("a".into())), Some(expected));
        for (sender, origin) in
            [(sender, Origin::Stranger), (sender, Origin::Server), (None, Origin::Vouched)]
        {
            assert_eq!(told(sender, origin), None);
        }
    }

    #[test]
    fn a_notice_that_tells_nothing_is_none() {
        let terms = Terms::new(Some("a@y.example".into()), Origin::Vouched);
        let entry = Entry::new(terms, vec![Recipient::new("b@x.example")], 9, 0, None);
        assert_eq!(Notice::at_once(&entry, &[Some(Action::Delivered)]), None);
    }
}
