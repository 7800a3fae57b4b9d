//! SORT and THREAD against the rules of RFC 5256 carried out word by word, on random mailboxes;
//! and mailboxes that are made to be slow.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use mail_types::{Flags, InternalDate, MailboxId};
use mailbox::collate::{Collation, Comparator, Direction};
use mailbox::sort::{Criterion, SortKey, SortRule, SortTexts, Sorter};
use mailbox::subject::{SubjectKind, base_subject};
use mailbox::thread::{Algorithm, ThreadTexts, Threader};
use mailbox::{Account, Actor, Context, MailboxSnapshot, NewMessage, Operation, apply, decide};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Clone, Debug, Default)]
struct Mail {
    arrival: i64,
    size: u32,
    sent: Option<i64>,
    subject: String,
    from: String,
    id: Option<Vec<u8>>,
    references: Vec<Vec<u8>>,
}

impl Mail {
    fn date(&self) -> i64 {
        self.sent.unwrap_or(self.arrival)
    }
}

fn snapshot(mails: &[Mail]) -> MailboxSnapshot {
    let mut account = Account::empty();
    let messages = mails.iter().map(|mail| NewMessage {
        message: None,
        thread: None,
        size: mail.size,
        internal_date: InternalDate::utc(mail.arrival),
        flags: Flags::default(),
        annotations: mailbox::Annotations::default(),
    });
    let messages = messages.collect();
    let mailbox = MailboxId(1);
    for operation in [Operation::CreateAccount, Operation::AddMessages { mailbox, messages }] {
        let entry = decide(&account, &Actor::Owner, &operation, &Context { now: 0 })
            .unwrap()
            .entry
            .unwrap();
        account = apply(&account, &entry).unwrap();
    }
    account.mailbox(mailbox).unwrap().contents().unwrap().clone()
}

/// Few ids, subjects and dates, so that all of them meet.
fn mails(random: &mut Random, count: usize) -> Vec<Mail> {
    let ids = 1 + random.below(count * 2);
    let id = |random: &mut Random| format!("{}@x", random.below(ids)).into_bytes();
    let subjects = ["", "a", "A", "Re: a", "b", "Fwd: B", "re:", "[x] b (fwd)", "ä", "Re: Ä", "c"];
    let dates = 1 + random.below(count) as i64;
    (0..count)
        .map(|_| Mail {
            arrival: random.below(dates as usize) as i64,
            size: random.below(3) as u32,
            sent: (!random.chance(5)).then(|| random.below(dates as usize) as i64),
            subject: subjects[random.below(subjects.len())].to_owned(),
            from: subjects[random.below(subjects.len())].to_owned(),
            id: (!random.chance(6)).then(|| id(random)),
            references: (0..random.below(4)).map(|_| id(random)).collect(),
        })
        .collect()
}

fn thread(algorithm: Algorithm, mails: &[Mail]) -> Vec<(Option<u32>, u32)> {
    let snapshot = snapshot(mails);
    let mut threader = Threader::new(algorithm, Comparator::UnicodeCasemap);
    for (entry, mail) in snapshot.iter().zip(mails) {
        let texts = ThreadTexts {
            sent: mail.sent,
            subject: &mail.subject,
            message_id: mail.id.as_deref(),
            references: &mail.references,
            in_reply_to: &[],
        };
        threader.add(&entry, &texts);
    }
    let members = threader.finish();
    members.iter().map(|member| (member.uid.map(|uid| uid.get()), member.depth)).collect()
}

// The rules word by word.

#[derive(Clone)]
struct Container {
    id: String,
    message: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

struct Naive<'a> {
    mails: &'a [Mail],
    all: Vec<Container>,
}

impl Naive<'_> {
    fn by_id(&mut self, id: &str) -> usize {
        if let Some(at) = self.all.iter().position(|c| c.id == id) {
            return at;
        }
        self.all.push(Container {
            id: id.to_owned(),
            message: None,
            parent: None,
            children: vec![],
        });
        self.all.len() - 1
    }

    fn is_below(&self, mut node: usize, top: usize) -> bool {
        loop {
            if node == top {
                return true;
            }
            match self.all[node].parent {
                Some(parent) => node = parent,
                None => return false,
            }
        }
    }

    fn link(&mut self, parent: usize, child: usize) {
        if !self.is_below(parent, child) {
            self.all[child].parent = Some(parent);
            self.all[parent].children.push(child);
        }
    }

    fn unlink(&mut self, child: usize) {
        if let Some(parent) = self.all[child].parent.take() {
            self.all[parent].children.retain(|c| *c != child);
        }
    }

    fn step_1(&mut self) {
        let text = |id: &Vec<u8>| String::from_utf8(id.clone()).unwrap();
        for (number, mail) in self.mails.iter().enumerate() {
            let mut id = mail.id.as_ref().map_or(format!("unique {number}"), text);
            if self.all.iter().any(|c| c.id == id && c.message.is_some()) {
                id = format!("unique {number}");
            }
            let own = self.by_id(&id);
            self.all[own].message = Some(number);
        }
        // All messages are known, so that what is still missing is not there.
        for (number, mail) in self.mails.iter().enumerate() {
            let own = self.all.iter().position(|c| c.message == Some(number)).unwrap();
            let nodes: Vec<usize> =
                mail.references.iter().map(|id| self.by_id(&text(id))).collect();
            for pair in nodes.windows(2) {
                if self.all[pair[1]].parent.is_none() {
                    self.link(pair[0], pair[1]);
                }
            }
            self.unlink(own);
            if let Some(last) = nodes.last() {
                self.link(*last, own);
            }
        }
    }

    fn pruned(&mut self, nodes: &[usize], is_top: bool) -> Vec<usize> {
        let mut kept = Vec::new();
        for &node in nodes {
            let children = self.all[node].children.clone();
            let children = self.pruned(&children, false);
            self.all[node].children.clone_from(&children);
            if self.all[node].message.is_some() || (is_top && children.len() > 1) {
                kept.push(node);
            } else {
                kept.extend(children);
            }
        }
        kept
    }

    /// Message that speaks for a node.
    fn speaker(&self, node: usize) -> usize {
        self.all[node].message.unwrap_or_else(|| {
            let children = self.all[node].children.iter();
            let messages = children.map(|c| self.all[*c].message.unwrap());
            messages.min_by_key(|m| (self.mails[*m].date(), *m)).unwrap()
        })
    }

    fn sort(&mut self, nodes: &mut [usize]) {
        for &node in nodes.iter() {
            let mut children = self.all[node].children.clone();
            self.sort(&mut children);
            self.all[node].children = children;
        }
        nodes.sort_by_key(|node| (self.mails[self.speaker(*node)].date(), self.speaker(*node)));
    }

    fn subject(&self, node: usize) -> Box<[u8]> {
        let base = base_subject(&self.mails[self.speaker(node)].subject);
        Comparator::UnicodeCasemap.key(&base.text)
    }

    fn is_reply(&self, node: usize) -> bool {
        let message = self.all[node].message.unwrap();
        base_subject(&self.mails[message].subject).kind == SubjectKind::ReplyOrForward
    }

    fn is_dummy(&self, node: usize) -> bool {
        self.all[node].message.is_none()
    }

    fn step_5(&mut self, top: &mut Vec<usize>) {
        let mut table: Vec<(Box<[u8]>, usize)> = Vec::new();
        for &node in top.iter() {
            let subject = self.subject(node);
            if subject.is_empty() {
                continue;
            }
            match table.iter().position(|(s, _)| *s == subject) {
                None => table.push((subject, node)),
                Some(at) => {
                    let known = table[at].1;
                    if !self.is_dummy(known)
                        && (self.is_dummy(node) || (self.is_reply(known) && !self.is_reply(node)))
                    {
                        table[at].1 = node;
                    }
                }
            }
        }
        for node in top.clone() {
            let subject = self.subject(node);
            let Some(at) = table.iter().position(|(s, _)| *s == subject) else { continue };
            let known = table[at].1;
            if known == node {
                continue;
            }
            top.retain(|n| *n != node);
            if self.is_dummy(known) && self.is_dummy(node) {
                let moved = std::mem::take(&mut self.all[node].children);
                self.all[known].children.extend(moved);
            } else if self.is_dummy(known) || (self.is_reply(node) && !self.is_reply(known)) {
                self.all[known].children.push(node);
            } else {
                let children = vec![known, node];
                self.all.push(Container {
                    id: String::new(),
                    message: None,
                    parent: None,
                    children,
                });
                top.retain(|n| *n != known);
                top.push(self.all.len() - 1);
                table[at].1 = self.all.len() - 1;
            }
        }
    }

    fn list(&self, nodes: &[usize], depth: u32, out: &mut Vec<(Option<u32>, u32)>) {
        for &node in nodes {
            out.push((self.all[node].message.map(|m| m as u32 + 1), depth));
            self.list(&self.all[node].children, depth + 1, out);
        }
    }

    fn latest(&self, node: usize) -> (i64, usize) {
        let own = self.all[node].message.map(|m| (self.mails[m].arrival, m));
        let below = self.all[node].children.iter().map(|c| self.latest(*c)).max();
        own.max(below).unwrap()
    }
}

fn naive_thread(algorithm: Algorithm, mails: &[Mail]) -> Vec<(Option<u32>, u32)> {
    let mut naive = Naive { mails, all: Vec::new() };
    naive.step_1();
    let top: Vec<usize> =
        (0..naive.all.len()).filter(|node| naive.all[*node].parent.is_none()).collect();
    let mut top = naive.pruned(&top, true);
    naive.sort(&mut top);
    if algorithm == Algorithm::References {
        naive.step_5(&mut top);
        naive.sort(&mut top);
    } else {
        top.sort_by_key(|node| naive.latest(*node));
    }
    let mut out = Vec::new();
    naive.list(&top, 0, &mut out);
    out
}

fn naive_ordered_subject(mails: &[Mail]) -> Vec<(Option<u32>, u32)> {
    let key = |m: &usize| Comparator::UnicodeCasemap.key(&base_subject(&mails[*m].subject).text);
    let mut threads: Vec<Vec<usize>> = Vec::new();
    for message in 0..mails.len() {
        match threads.iter_mut().find(|thread| key(&thread[0]) == key(&message)) {
            Some(thread) => thread.push(message),
            None => threads.push(vec![message]),
        }
    }
    for thread in &mut threads {
        thread.sort_by_key(|m| (mails[*m].date(), *m));
    }
    threads.sort_by_key(|thread| (mails[thread[0]].date(), thread[0]));
    let members = threads.iter().flat_map(|thread| {
        thread.iter().enumerate().map(|(at, m)| (Some(*m as u32 + 1), u32::from(at > 0)))
    });
    members.collect()
}

#[test]
fn threads_are_those_of_the_rules_on_random_mailboxes() {
    for seed in 0..4000 {
        let mut random = Random(seed);
        let count = 1 + random.below(14);
        let mails = mails(&mut random, count);
        for algorithm in [Algorithm::References, Algorithm::Refs] {
            assert_eq!(
                thread(algorithm, &mails),
                naive_thread(algorithm, &mails),
                "seed {seed} {algorithm:?} {mails:#?}"
            );
        }
        assert_eq!(
            thread(Algorithm::OrderedSubject, &mails),
            naive_ordered_subject(&mails),
            "seed {seed} {mails:#?}"
        );
    }
}

#[test]
fn threads_of_larger_mailboxes_are_those_of_the_rules() {
    for seed in 0..40 {
        let mut random = Random(1_000_000 + seed);
        let mails = mails(&mut random, 200);
        for algorithm in [Algorithm::References, Algorithm::Refs] {
            let expected = naive_thread(algorithm, &mails);
            assert_eq!(thread(algorithm, &mails), expected, "seed {seed} {algorithm:?}");
        }
    }
}

fn compare(key: SortKey, a: &Mail, b: &Mail) -> Ordering {
    let base = |mail: &Mail| Comparator::UnicodeCasemap.key(&base_subject(&mail.subject).text);
    let from = |mail: &Mail| Comparator::UnicodeCasemap.key(&mail.from);
    match key {
        SortKey::Arrival => a.arrival.cmp(&b.arrival),
        SortKey::Date => a.date().cmp(&b.date()),
        SortKey::Size => a.size.cmp(&b.size),
        SortKey::Subject => base(a).cmp(&base(b)),
        _ => from(a).cmp(&from(b)),
    }
}

#[test]
fn the_order_is_that_of_a_stable_sort_by_each_criterion_from_the_last() {
    let keys = [SortKey::Arrival, SortKey::Date, SortKey::Size, SortKey::Subject, SortKey::From];
    for seed in 0..2000 {
        let mut random = Random(seed);
        let count = 1 + random.below(20);
        let mails = mails(&mut random, count);
        let criteria: Vec<Criterion> = (0..1 + random.below(4))
            .map(|_| Criterion {
                key: keys[random.below(keys.len())].clone(),
                direction: if random.chance(2) {
                    Direction::Ascending
                } else {
                    Direction::Descending
                },
            })
            .collect();
        let mut sorter = Sorter::new(SortRule::new(&criteria, Collation::default()));
        for (entry, mail) in snapshot(&mails).iter().zip(&mails) {
            let texts = SortTexts {
                sent: mail.sent,
                subject: mail.subject.clone(),
                from: mail.from.clone(),
                ..SortTexts::default()
            };
            sorter.add(&entry, &texts);
        }
        let sorted: Vec<usize> = sorter.finish().iter().map(|uid| uid.get() as usize - 1).collect();
        let mut expected: Vec<usize> = (0..mails.len()).collect();
        for criterion in criteria.iter().rev() {
            expected.sort_by(|a, b| {
                let order = compare(criterion.key.clone(), &mails[*a], &mails[*b]);
                if criterion.direction == Direction::Descending { order.reverse() } else { order }
            });
        }
        assert_eq!(sorted, expected, "seed {seed} {criteria:?}");
    }
}

#[test]
fn a_descending_collation_turns_texts_round_and_nothing_else() {
    let mails = [("b", 1), ("a", 1), ("b", 0)].map(|(subject, sent)| Mail {
        sent: Some(sent),
        subject: subject.to_owned(),
        ..Mail::default()
    });
    let order = |keys: &[(SortKey, Direction)]| -> Vec<u32> {
        let criteria: Vec<Criterion> = keys
            .iter()
            .map(|(key, direction)| Criterion { key: key.clone(), direction: *direction })
            .collect();
        let collation = Collation { direction: Direction::Descending, ..Collation::default() };
        let mut sorter = Sorter::new(SortRule::new(&criteria, collation));
        for (entry, mail) in snapshot(&mails).iter().zip(&mails) {
            let texts = SortTexts {
                sent: mail.sent,
                subject: mail.subject.clone(),
                ..SortTexts::default()
            };
            sorter.add(&entry, &texts);
        }
        sorter.finish().iter().map(|uid| uid.get()).collect()
    };
    use Direction::{Ascending, Descending};
    assert_eq!(order(&[(SortKey::Subject, Ascending)]), [1, 3, 2]);
    assert_eq!(order(&[(SortKey::Subject, Descending)]), [2, 1, 3]);
    assert_eq!(order(&[(SortKey::Date, Ascending)]), [3, 1, 2]);
}

fn id(number: usize) -> Vec<u8> {
    format!("{number}@harbour.example").into_bytes()
}

/// A mail with an id and references.
fn linked(number: usize, references: Vec<Vec<u8>>) -> Mail {
    Mail { sent: Some(number as i64), id: Some(id(number)), references, ..Mail::default() }
}

/// The threads, made within the patience of the test.
fn soon(what: &str, mails: &[Mail]) -> Vec<(Option<u32>, u32)> {
    let begin = Instant::now();
    let threads = thread(Algorithm::References, mails);
    let took = begin.elapsed();
    println!("{what}: {took:?}");
    assert!(took < Duration::from_secs(60), "{what}: {took:?}");
    threads
}

const MANY: usize = 100_000;

#[test]
fn a_chain_of_a_hundred_thousand_messages_needs_neither_stack_nor_patience() {
    let chain: Vec<Mail> =
        (0..MANY).map(|n| linked(n, if n == 0 { vec![] } else { vec![id(n - 1)] })).collect();
    let threads = soon("chain", &chain);
    assert!(threads.iter().zip(0..).all(|(member, depth)| member.1 == depth));
    // Replies before what they reply to.
    let backwards: Vec<Mail> = (0..MANY)
        .map(|n| linked(n, if n + 1 == MANY { vec![] } else { vec![id(n + 1)] }))
        .collect();
    let threads = soon("backwards", &backwards);
    assert_eq!(threads[0], (Some(MANY as u32), 0));
    assert_eq!(threads[MANY - 1], (Some(1), MANY as u32 - 1));
}

#[test]
fn references_that_are_made_to_be_slow_are_not() {
    // A deep chain, then many messages that would each hang a tree below its end.
    let half = MANY / 2;
    let mut mails: Vec<Mail> =
        (0..half).map(|n| linked(n, if n == 0 { vec![] } else { vec![id(n - 1)] })).collect();
    for n in half..MANY {
        mails.push(if n % 2 == 0 {
            linked(n, vec![id(n + 1)])
        } else {
            linked(n, vec![id(half - 1), id(n), id(n - 1)])
        });
    }
    assert_eq!(soon("deep end", &mails).len(), mails.len());
    // As many ids as count, none of which is there, and none twice.
    let many = Threader::REFERENCES_MAX;
    let strangers: Vec<Mail> = (0..Threader::DUMMIES_MAX / many + 1000)
        .map(|n| linked(n, (0..many).map(|at| id(MANY + n * many + at)).collect()))
        .collect();
    assert_eq!(soon("strangers", &strangers).len(), strangers.len());
    // A loop of all.
    let ring: Vec<Mail> =
        (0..MANY).map(|n| linked(n, vec![id((n + 2) % MANY), id((n + 1) % MANY)])).collect();
    assert_eq!(soon("ring", &ring).len(), ring.len());
}
