"""Says what Python's email package makes of each message that a line of input names: by its path, or
as "hex:" and its bytes.

One line for each message: the fields of a View in hexadecimal, parted by tabs; lists by commas.
"""

import email
import email.header
import email.utils
import sys


def has_parts(part):
    # Python takes the fields of a delivery report for messages.
    return part.is_multipart() and part.get_content_type() != "message/delivery-status"


def shape(part):
    text = part.get_content_type()
    if has_parts(part):
        text += "[" + " ".join(shape(child) for child in part.get_payload()) + "]"
    return text


def leaves(part):
    if has_parts(part):
        for child in part.get_payload():
            yield from leaves(child)
    else:
        yield part


def subject(message):
    value = message["subject"]
    if value is None:
        return ""
    text = str(value).replace("\r", "").replace("\n", "")
    try:
        return str(email.header.make_header(email.header.decode_header(text)))
    except Exception:
        return "\x00undecodable"


def date(message):
    try:
        moment = email.utils.parsedate_tz(str(message["date"]))
        return str(email.utils.mktime_tz(moment))
    except Exception:
        return ""


def addresses(message):
    fields = []
    for name in ("from", "to", "cc"):
        values = [str(v) for v in message.get_all(name, [])]
        fields.extend(values[:1] if name == "from" else values)
    try:
        return [a.lower() for _, a in email.utils.getaddresses(fields) if a]
    except Exception:
        return ["\x00unreadable"]


def filename(part):
    try:
        name = part.get_filename()
        return "" if name is None else str(email.header.make_header(email.header.decode_header(name)))
    except Exception:
        return "\x00undecodable"


def text(value):
    return value.encode("utf-8", "surrogateescape").hex() or "-"


def body(part):
    if part.is_multipart():
        decoded = b"".join(str(child).encode("utf-8", "surrogateescape") for child in part.get_payload())
    else:
        decoded = part.get_payload(decode=True) or b""
    return decoded.replace(b"\r\n", b"\n").rstrip(b"\n").hex() or "-"


def read(line):
    if line.startswith("hex:"):
        return bytes.fromhex(line[4:])
    with open(line, "rb") as file:
        return file.read()


for line in sys.stdin:
    message = email.message_from_bytes(read(line.rstrip("\n")))
    parts = list(leaves(message))
    print(
        text(shape(message)),
        ",".join(body(p) for p in parts),
        text(subject(message)),
        ",".join(text(a) for a in addresses(message)),
        text(date(message)),
        ",".join(text(filename(p)) for p in parts),
        sep="\t",
    )
