"""Checks ENVELOPE and BODYSTRUCTURE by their grammar (RFC 9051 §9), and walks the parts."""

from wire import Atom, WireError


def require(condition, what, value):
    if not condition:
        raise WireError(f"{what}: {value!r}")


def is_string(value):
    return isinstance(value, bytes) and not isinstance(value, Atom)


def is_nstring(value):
    return value is None or is_string(value)


def is_number(value):
    return isinstance(value, Atom) and value.isdigit()


def check_envelope(value):
    """date subject from sender reply-to to cc bcc in-reply-to message-id"""
    require(isinstance(value, list) and len(value) == 10, "an envelope has ten fields", value)
    for index in (0, 1, 8, 9):
        require(is_nstring(value[index]), "an nstring", value[index])
    for index in range(2, 8):
        addresses = value[index]
        if addresses is None:
            continue
        require(isinstance(addresses, list) and addresses, "a list of addresses", addresses)
        for address in addresses:
            require(
                isinstance(address, list) and len(address) == 4 and all(map(is_nstring, address)),
                "an address has four nstrings",
                address,
            )
    # Sender and Reply-To default to From. RFC 9051 §7.5.2
    if value[2] is not None:
        require(value[3] is not None and value[4] is not None, "sender and reply-to", value)


class Part:
    """One part of a body structure, with the number by which it is fetched."""

    def __init__(self, section, kind, children=(), octets=None, encoding=None, params=None):
        self.section = section
        self.kind = kind
        self.children = list(children)
        self.octets = octets
        self.encoding = encoding
        self.params = params or {}

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()


def check_body(value, section=(), under_message=False):
    """Returns the tree of parts; raises where the structure is not in full extended form."""
    require(isinstance(value, list) and value, "a body", value)
    if isinstance(value[0], list):
        return _multipart(value, section)
    return _single(value, section or (1,))


def _multipart(value, section):
    count = 0
    while count < len(value) and isinstance(value[count], list):
        count += 1
    children = [check_body(value[i], section + (i + 1,)) for i in range(count)]
    rest = value[count:]
    require(len(rest) >= 1 and is_string(rest[0]), "a multipart subtype", rest)
    require(len(rest) >= 5, "a multipart in extended form", rest)
    params = _params(rest[1])
    _disposition(rest[2])
    _language(rest[3])
    require(is_nstring(rest[4]), "a location", rest[4])
    return Part(section, b"multipart/" + rest[0].lower(), children, params=params)


def _single(value, section):
    require(len(value) >= 7, "a part has seven basic fields", value)
    require(is_string(value[0]) and is_string(value[1]), "a media type", value[:2])
    params = _params(value[2])
    require(is_nstring(value[3]) and is_nstring(value[4]), "id and description", value)
    require(is_string(value[5]), "an encoding", value[5])
    require(is_number(value[6]), "octets", value[6])
    kind = (value[0] + b"/" + value[1]).lower()
    rest = value[7:]
    children = []
    if kind in (b"message/rfc822", b"message/global") and rest and isinstance(rest[0], list):
        check_envelope(rest[0])
        inner = rest[1]
        # The parts of a message that is a part are numbered below it. RFC 9051 §6.4.5.1
        children = [check_body(inner, section if isinstance(inner[0], list) else section + (1,))]
        require(is_number(rest[2]), "lines", rest[2])
        rest = rest[3:]
    elif kind.startswith(b"text/"):
        require(rest and is_number(rest[0]), "lines", rest)
        rest = rest[1:]
    require(len(rest) >= 4, "a part in extended form", value)
    require(is_nstring(rest[0]), "md5", rest[0])
    _disposition(rest[1])
    _language(rest[2])
    require(is_nstring(rest[3]), "a location", rest[3])
    return Part(section, kind, children, int(value[6]), value[5].lower(), params)


def _params(value):
    if value is None:
        return {}
    require(
        isinstance(value, list) and value and len(value) % 2 == 0 and all(map(is_string, value)),
        "parameters",
        value,
    )
    return {value[i].lower(): value[i + 1] for i in range(0, len(value), 2)}


def _disposition(value):
    if value is not None:
        require(isinstance(value, list) and len(value) == 2, "a disposition", value)
        require(is_string(value[0]), "a disposition type", value)
        _params(value[1])


def _language(value):
    if isinstance(value, list):
        require(value and all(map(is_string, value)), "languages", value)
    else:
        require(is_nstring(value), "a language", value)


def kinds(tree):
    """The media types of all parts, depth first."""
    return [part.kind.decode("latin-1") for part in tree.walk()]


def python_kinds(message):
    """The same of a message of Python's, which also takes reports apart that are leaves here."""
    found = [message.get_content_type()]
    if message.is_multipart() and found[0] not in REPORTS:
        for part in message.get_payload():
            found += python_kinds(part)
    return found


REPORTS = ("message/delivery-status", "message/disposition-notification")
