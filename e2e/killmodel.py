"""What one account must look like after a crash, and who says so.

A client does one command after the other, so after a crash an account is either as it was after the last acknowledged command or
as it is after the one that was on its way: whole or not at all. Deliveries come from elsewhere and go to INBOX only: those that
were acknowledged must be there once, those on their way may be there once.

`Account` is what the client knows, `Observed` what a client reads after the restart; `judge` compares them, without any I/O, and
`self_check` shows that it can fail: it must object to every history that was doctored.
"""

import copy
import random


class Message:
    """A message as far as it is known: which one, its flags, and its modseq if that was told."""

    def __init__(self, token, flags, modseq=None):
        self.token = token
        self.flags = frozenset(flags)
        self.modseq = modseq

    def __repr__(self):
        return f"{self.token} {sorted(self.flags)} modseq {self.modseq}"


class Mailbox:
    """`fresh` are messages whose UIDs were not told, in their order: (token, flags).

    A mailbox whose UIDVALIDITY was not told must have one above `born_above`.
    """

    def __init__(self, uidvalidity=None, born_above=0):
        self.uidvalidity = uidvalidity
        self.born_above = born_above
        self.uidnext = 1
        self.highest_modseq = 0
        self.messages = {}
        self.fresh = []


class Account:
    """Everything that was announced to the clients of one account."""

    def __init__(self):
        self.mailboxes = {"INBOX": Mailbox()}
        # Announced at any time, by mailboxes that may be gone.
        self.uidvalidity_max = 0
        self.modseq_max = 0
        self.announced = {}
        # Deliveries to INBOX by token: whether they were acknowledged.
        self.deliveries = {}

    def announce(self, uidvalidity, uid, token):
        """Notes which message has this UID; the complaint if another one had it. I1"""
        known = self.announced.setdefault((uidvalidity, uid), token)
        if known == token:
            return []
        return [f"UID {uid} of UIDVALIDITY {uidvalidity} was {known} and is {token} now"]

    def ancestors(self, name):
        parts = name.split("/")
        return ["/".join(parts[:length]) for length in range(1, len(parts))]


class Observed:
    """A mailbox as a client finds it: `messages` maps UIDs to `Message`."""

    def __init__(self, uidvalidity, uidnext, highest_modseq, messages):
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.highest_modseq = highest_modseq
        self.messages = messages


# --- what commands do: each takes an account and changes it, knowing no UIDs of new messages


def append(account, name, token, flags):
    account.mailboxes[name].fresh.append((token, frozenset(flags)))


def store(account, name, uids, how, flags):
    for uid in uids:
        message = account.mailboxes[name].messages[uid]
        new = {"+": message.flags | flags, "-": message.flags - flags, "": frozenset(flags)}[how]
        # A flag that is set already does not raise the modseq. I40
        if new != message.flags:
            message.flags, message.modseq = new, None


def copy_messages(account, name, uids, to):
    for uid in sorted(uids):
        message = account.mailboxes[name].messages[uid]
        account.mailboxes[to].fresh.append((message.token, message.flags))


def move(account, name, uids, to):
    copy_messages(account, name, uids, to)
    for uid in uids:
        del account.mailboxes[name].messages[uid]


def expunge(account, name, uids):
    for uid in uids:
        del account.mailboxes[name].messages[uid]


def create(account, name):
    for wanted in [*account.ancestors(name), name]:
        account.mailboxes.setdefault(wanted, Mailbox(None, account.uidvalidity_max))


def delete(account, name):
    del account.mailboxes[name]


def rename(account, old, new):
    for wanted in account.ancestors(new):
        account.mailboxes.setdefault(wanted, Mailbox(None, account.uidvalidity_max))
    for name in list(account.mailboxes):
        if name == old or name.startswith(old + "/"):
            account.mailboxes[new + name[len(old) :]] = account.mailboxes.pop(name)


# --- the verdict


def judge(account, pending, observed):
    """Complaints about what was found after a crash, and the account as it is known from now on.

    `pending` is the command on its way, as a function that changes an account, or None; `observed`
    maps names to `Observed`.
    """
    complaints = compare(account, observed)
    chosen = account
    if complaints and pending is not None:
        after = copy.deepcopy(account)
        pending(after)
        otherwise = compare(after, observed)
        if not otherwise:
            complaints, chosen = [], after
        else:
            complaints = [f"without the last command: {it}" for it in complaints] + [
                f"with the last command: {it}" for it in otherwise
            ]
    for name, found in observed.items():
        for uid, message in found.messages.items():
            complaints += account.announce(found.uidvalidity, uid, message.token)
    return complaints, learned(chosen, observed)


def compare(account, observed):
    complaints = []
    for name in sorted(set(account.mailboxes) - set(observed)):
        complaints.append(f"mailbox {name} is gone")
    for name in sorted(set(observed) - set(account.mailboxes)):
        complaints.append(f"mailbox {name} should not be there")
    for name, found in observed.items():
        if name in account.mailboxes:
            told = compare_mailbox(account, account.mailboxes[name], found, name == "INBOX")
            complaints += [f"{name}: {it}" for it in told]
    if len({found.uidvalidity for found in observed.values()}) != len(observed):
        complaints.append("two mailboxes have the same UIDVALIDITY")
    return complaints


def compare_mailbox(account, known, found, is_inbox):
    complaints = []
    if known.uidvalidity is None:
        # I6, I7: whatever had this name before had a smaller one.
        if found.uidvalidity <= known.born_above:
            complaints.append(f"a new mailbox has the old UIDVALIDITY {found.uidvalidity}")
    elif found.uidvalidity != known.uidvalidity:
        complaints.append(f"UIDVALIDITY was {known.uidvalidity}, is {found.uidvalidity}")
    if found.uidnext < known.uidnext:
        complaints.append(f"UIDNEXT was {known.uidnext}, is {found.uidnext}")
    if found.highest_modseq < known.highest_modseq:
        complaints.append(f"HIGHESTMODSEQ was {known.highest_modseq}, is {found.highest_modseq}")
    for uid, message in found.messages.items():
        if uid >= found.uidnext:
            complaints.append(f"UID {uid} is not below UIDNEXT {found.uidnext}")
        if message.modseq > found.highest_modseq:
            complaints.append(f"UID {uid}: modseq {message.modseq} > {found.highest_modseq}")
    for uid, message in known.messages.items():
        complaints += compare_message(uid, message, found.messages.get(uid))
    extra = sorted(set(found.messages) - set(known.messages))
    for uid in extra:
        # I2: above everything that was announced.
        if uid < known.uidnext:
            complaints.append(f"UID {uid} is new but below UIDNEXT {known.uidnext}")
    return complaints + compare_fresh(account, known, [found.messages[it] for it in extra], is_inbox)


def compare_message(uid, known, found):
    if found is None:
        return [f"UID {uid} is gone: {known}"]
    complaints = []
    if found.token != known.token:
        complaints.append(f"UID {uid} holds {found.token} and not {known.token}")
    if found.flags != known.flags:
        complaints.append(f"UID {uid} has {sorted(found.flags)} and not {sorted(known.flags)}")
    if known.modseq is not None and found.modseq != known.modseq:
        complaints.append(f"UID {uid} has modseq {found.modseq} and not {known.modseq}")
    return complaints


def compare_fresh(account, known, extra, is_inbox):
    """New messages: those of the client in their order, deliveries in any."""
    complaints = []
    delivered = {}
    rest = []
    for message in extra:
        if is_inbox and message.token in account.deliveries:
            delivered[message.token] = delivered.get(message.token, 0) + 1
        else:
            rest.append((message.token, message.flags))
    for token, count in delivered.items():
        if count != 1:
            complaints.append(f"{token} was delivered {count} times")
    if is_inbox:
        for token, acknowledged in account.deliveries.items():
            if acknowledged and token not in delivered:
                complaints.append(f"the delivery {token} was acknowledged and is gone")
    if rest != known.fresh:
        complaints.append(f"new are {shown(rest)} and not {shown(known.fresh)}")
    return complaints


def shown(fresh):
    return [f"{token} {sorted(flags)}" for token, flags in fresh]


def learned(account, observed):
    """The account with everything that was observed announced."""
    new = copy.copy(account)
    new.mailboxes = {}
    new.deliveries = {}
    for name, found in observed.items():
        mailbox = Mailbox(found.uidvalidity)
        mailbox.uidnext = found.uidnext
        mailbox.highest_modseq = found.highest_modseq
        mailbox.messages = dict(found.messages)
        new.mailboxes[name] = mailbox
        new.uidvalidity_max = max(new.uidvalidity_max, found.uidvalidity)
        new.modseq_max = max(new.modseq_max, found.highest_modseq)
    return new


# --- the judge before the court


def self_check():
    """The judge must accept honest histories and object to each doctored one; raises if not."""
    account, observed = sample()
    pending = [
        None,
        lambda it: append(it, "Work", "p", {"\\Seen"}),
        lambda it: move(it, "Work", {2, 3}, "Plans"),
        lambda it: expunge(it, "Work", {4}),
        lambda it: store(it, "Work", {2, 4}, "+", frozenset({"\\Flagged"})),
        lambda it: rename(it, "Plans", "Lists/a"),
        lambda it: create(it, "New/below"),
        lambda it: delete(it, "Plans"),
    ]
    for number, command in enumerate(pending):
        for done in (False, True):
            told, _ = judge(*copy.deepcopy((account, command, after(account, command, done))))
            expect(not told, f"honest {number} {done}: {told}")
    count = 0
    for name, doctor in DOCTORED.items():
        for command in (None, pending[2]):
            forged = copy.deepcopy(observed)
            doctor(forged)
            told, _ = judge(copy.deepcopy(account), command, forged)
            expect(told, f"the judge has nothing against {name!r}")
            count += 1
    # Half of a command is neither before nor after it.
    for done in (False, True):
        half = after(account, pending[2], done)
        source, target = half["Work"].messages, half["Plans"].messages
        if done:
            source[2] = Message("b", (), 12)
        else:
            target[1] = Message("b", (), 20)
            half["Plans"].uidnext = 2
        expect(judge(copy.deepcopy(account), pending[2], half)[0], f"half a MOVE {done}")
        count += 1
    return count


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def sample():
    account = Account()
    inbox, work, plans = Mailbox(3), Mailbox(5), Mailbox(6)
    inbox.uidnext, work.uidnext, work.highest_modseq = 4, 5, 14
    inbox.messages = {3: Message("a", (), 9)}
    work.messages = {
        2: Message("b", (), 12),
        3: Message("c", {"\\Seen"}, 13),
        4: Message("d", {"\\Deleted"}, 14),
    }
    account.mailboxes = {"INBOX": inbox, "Work": work, "Plans": plans}
    account.deliveries = {"x": True, "y": False}
    account.uidvalidity_max, account.modseq_max = 6, 14
    for name, mailbox in account.mailboxes.items():
        for uid, message in mailbox.messages.items():
            account.announce(mailbox.uidvalidity, uid, message.token)
    account.announce(5, 1, "gone")
    return account, after(account, None, False)


def after(account, command, done):
    """What an honest server shows, with or without the command on its way."""
    state = copy.deepcopy(account)
    if command is not None and done:
        command(state)
    observed = {}
    state.mailboxes["INBOX"].fresh.append(("x", frozenset()))
    uidvalidity = state.uidvalidity_max
    for name, mailbox in state.mailboxes.items():
        if mailbox.uidvalidity is None:
            uidvalidity += 1
            mailbox.uidvalidity = uidvalidity
        messages = dict(mailbox.messages)
        for token, flags in mailbox.fresh:
            messages[mailbox.uidnext] = Message(token, flags, 30)
            mailbox.uidnext += 1
        for message in messages.values():
            message.modseq = message.modseq or 30
        observed[name] = Observed(mailbox.uidvalidity, mailbox.uidnext, 40, messages)
    return observed


def swap(messages, one, other):
    messages[one].token, messages[other].token = messages[other].token, messages[one].token


DOCTORED = {
    "a lost message": lambda it: it["Work"].messages.pop(2),
    "a lost delivery": lambda it: it["INBOX"].messages.pop(4),
    "a delivery that came twice": lambda it: it["INBOX"].messages.update(
        {5: Message("x", (), 30)}
    ),
    "a message of nobody": lambda it: it["Work"].messages.update({5: Message("q", (), 30)}),
    "a UID that is used again": lambda it: it["Work"].messages.update({1: Message("p", (), 30)}),
    "a lost flag": lambda it: setattr(it["Work"].messages[3], "flags", frozenset()),
    "a flag of nobody": lambda it: setattr(it["Work"].messages[2], "flags", frozenset({"x"})),
    "a modseq that went back": lambda it: setattr(it["Work"].messages[3], "modseq", 2),
    "bodies that changed places": lambda it: swap(it["Work"].messages, 2, 3),
    "a UIDVALIDITY that went back": lambda it: setattr(it["Work"], "uidvalidity", 4),
    "a UIDNEXT that went back": lambda it: setattr(it["Work"], "uidnext", 4),
    "a HIGHESTMODSEQ that went back": lambda it: setattr(it["Work"], "highest_modseq", 13),
    "a lost mailbox": lambda it: it.pop("Plans"),
    "a mailbox of nobody": lambda it: it.update({"Other": Observed(9, 1, 1, {})}),
    "one UIDVALIDITY for two": lambda it: setattr(it["Plans"], "uidvalidity", 5),
    "a UID at UIDNEXT": lambda it: setattr(it["INBOX"], "uidnext", 4),
}


def content(token, size):
    """The body that a token stands for: the same in every run, and no two alike."""
    text = random.Random(token).randbytes(size // 2).hex()
    lines = [text[at : at + 76] for at in range(0, len(text), 76)]
    head = f"From: {token}@mail.example\r\nSubject: {token}\r\nMessage-ID: <{token}@x>\r\n\r\n"
    return (head + "\r\n".join(lines) + "\r\n").encode()
