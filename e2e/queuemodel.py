"""Judges what became of mail that went through the queue while nodes were killed.

An acknowledged message has recipients here (their mailboxes hold it once), elsewhere (a server there has taken it), and some that are
refused (the sender is told once). A message that was not acknowledged may have been taken all the same, but then it counts as any
other: nobody gets it twice, and nobody is told twice.
"""

import collections
import dataclasses

Sent = collections.namedtuple("Sent", "token sender to")
# The server elsewhere has taken it for this recipient from this node.
Taken = collections.namedtuple("Taken", "token to node at")
Kill = collections.namedtuple("Kill", "node at")


@dataclasses.dataclass
class Observed:
    # (token, account) for each message in a mailbox.
    delivered: list
    # (token, recipient, sender) for each failure that a notice tells of.
    told: list
    taken: list
    kills: list


@dataclasses.dataclass
class Verdict:
    complaints: list = dataclasses.field(default_factory=list)
    recipients: int = 0
    here: int = 0
    there: int = 0
    told: int = 0
    again: int = 0


def is_here(address):
    return address.endswith("@mail.example")


def is_refused(address):
    return address.startswith("nobody")


def judge(acknowledged, observed):
    verdict = Verdict()
    delivered = collections.Counter(observed.delivered)
    told = collections.Counter(observed.told)
    taken = collections.defaultdict(list)
    for it in observed.taken:
        taken[it.token, it.to].append(it)
    for sent in acknowledged:
        for to in sent.to:
            verdict.recipients += 1
            if is_here(to):
                verdict.here += delivered[sent.token, to]
                expect_one(verdict, delivered[sent.token, to], f"{sent.token} for {to} was delivered")
            elif is_refused(to):
                key = (sent.token, to, sent.sender)
                verdict.told += told[key]
                expect_one(verdict, told[key], f"{sent.sender} was told of {to}")
            else:
                verdict.there += bool(taken[sent.token, to])
                if not taken[sent.token, to]:
                    verdict.complaints.append(f"{sent.token} never reached {to}")
    # Whatever was acknowledged or not.
    for what, counter in (("delivered", delivered), ("told", told)):
        twice = [key for key, count in counter.items() if count > 1]
        verdict.complaints += [f"{what} more than once: {key}" for key in twice]
    for (token, to), all_taken in taken.items():
        if is_refused(to):
            verdict.complaints.append(f"{token} was taken for {to}, who was refused")
        all_taken.sort(key=lambda it: it.at)
        for first, second in zip(all_taken, all_taken[1:]):
            verdict.again += 1
            if not excused(first, second, observed.kills):
                verdict.complaints.append(f"{token} reached {to} twice, and no kill is to blame")
    # The moments above are wide, so that a slow machine is not blamed: this bounds what they can hide.
    if verdict.again > AGAIN_MAX * len(observed.kills):
        verdict.complaints.append(f"{verdict.again} were sent again, which {len(observed.kills)} kills cannot explain")
    for token, to, sender in told:
        if not is_refused(to):
            verdict.complaints.append(f"{sender} was told that {to} failed, who did not ({token})")
    return verdict


# A result is recorded at once. Longer than this after the reply no kill can have prevented it: a busy store may take a while.
RECORD_SECONDS = 60.0
# What a node sent before it was killed is read afterwards, by a server that may be far behind.
BEHIND_SECONDS = 30.0


# One to two recipients a kill were measured; a node works on 64 attempts at one time.
AGAIN_MAX = 16


def excused(first, second, kills):
    """Whether the node that handed it on first died before it can have recorded that."""
    return any(
        kill.node == first.node
        and first.at - BEHIND_SECONDS <= kill.at <= min(second.at + BEHIND_SECONDS, first.at + RECORD_SECONDS)
        for kill in kills
    )


def expect_one(verdict, count, what):
    if count == 0:
        verdict.complaints.append(f"{what} never")


def self_check():
    """Histories in which one thing is wrong; returns how many the judge objects to, which must be all."""
    sent = [Sent("m1", "me@mail.example", ("local0@mail.example", "a.m1@one.example", "nobody.m1@one.example"))]

    def good():
        return Observed(
            [("m1", "local0@mail.example")],
            [("m1", "nobody.m1@one.example", "me@mail.example")],
            [Taken("m1", "a.m1@one.example", "node0", 10.0)],
            [],
        )

    assert judge(sent, good()).complaints == []
    excused_twice = good()
    excused_twice.taken.append(Taken("m1", "a.m1@one.example", "node1", 600.0))
    excused_twice.kills.append(Kill("node0", 10.1))
    verdict = judge(sent, excused_twice)
    assert (verdict.complaints, verdict.again) == ([], 1)
    bad = []
    for spoil in (
        lambda it: it.delivered.clear(),
        lambda it: it.delivered.append(it.delivered[0]),
        lambda it: it.delivered.extend([("m2", "local1@mail.example")] * 2),
        lambda it: it.told.clear(),
        lambda it: it.told.append(it.told[0]),
        lambda it: it.told.append(("m1", "a.m1@one.example", "me@mail.example")),
        lambda it: it.taken.clear(),
        lambda it: it.taken.append(Taken("m1", "a.m1@one.example", "node0", 11.0)),
        lambda it: it.taken.append(Taken("m1", "nobody.m1@one.example", "node0", 11.0)),
        lambda it: (
            it.taken.append(Taken("m1", "a.m1@one.example", "node0", 11.0)),
            it.kills.append(Kill("node1", 10.1)),
        ),
        lambda it: (
            it.taken.append(Taken("m1", "a.m1@one.example", "node0", 90.0)),
            it.kills.append(Kill("node0", 80.0)),
        ),
        lambda it: (
            it.taken.extend(Taken("m1", "a.m1@one.example", "node0", 10.0 + at / 100) for at in range(AGAIN_MAX + 1)),
            it.kills.append(Kill("node0", 11.0)),
        ),
    ):
        observed = good()
        spoil(observed)
        bad.append(bool(judge(sent, observed).complaints))
    assert all(bad), bad
    return len(bad)
