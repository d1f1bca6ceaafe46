"""E-mail: a message is a document, its attachments are documents of its group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from embedlib.corpus.markup import MARK
from embedlib.corpus.readers.file import File
from embedlib.corpus.readers.web import read_page
from embedlib.corpus.records import Item, Record, Rejected, Unreadable

#: In a mailbox a line ``From …`` after an empty one begins a message (RFC 4155).
_MESSAGE = re.compile(rb"(?:\A|\r?\n\r?\n)From [^\r\n]*\r?\n")
_ESCAPED = re.compile(rb"^>(>*From )", flags=re.MULTILINE)


def read_message(file: File) -> Iterator[Item]:
    """A message and its attachments."""
    yield from _message(file, file.data, file.name)


def read_mailbox(file: File) -> Iterator[Item]:
    """The messages of an mbox file, numbered in its order."""
    starts = list(_MESSAGE.finditer(file.data))
    if not starts or starts[0].start():
        raise Unreadable("damaged: a mailbox begins with a line `From …`")
    ends = [match.start() for match in starts[1:]] + [len(file.data)]
    for number, (match, end) in enumerate(zip(starts, ends, strict=True), start=1):
        data = _ESCAPED.sub(rb"\1", file.data[match.end() : end])
        yield from _message(file, data, f"{file.name}/{number:06d}")


def _message(file: File, data: bytes, name: str) -> Iterator[Item]:
    message = BytesParser(policy=policy.default).parsebytes(data)
    if not isinstance(message, EmailMessage) or not (
        message.keys() and (message["from"] or message["subject"])
    ):
        yield Rejected(name, "damaged: no message with a sender or a subject")
        return
    kept = {key: _header(message, key) for key in ("from", "to", "date")}
    subject, text = _header(message, "subject"), _body(message)
    if text or subject:
        yield Record(name, subject, text, name, name, {key: value for key, value in kept.items() if value})
    for attachment in message.iter_attachments():
        inner = attachment.get_filename()
        payload = attachment.get_payload(decode=True)
        if not inner or not isinstance(payload, bytes):
            continue
        for item in file.members(f"{name.removeprefix(file.name).strip('/')}/{inner}".strip("/"), payload):
            yield item._replace(group_id=name) if isinstance(item, Record) else item


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message[name] or "").split())
    except (ValueError, IndexError, AttributeError):
        return ""  # what the standard library's parser cannot read of a broken header


def _body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    try:
        text = part.get_content()
    except (LookupError, KeyError, ValueError):
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    if not isinstance(text, str):
        return ""
    if part.get_content_subtype() != "html":
        return text.replace(MARK, "")
    try:
        return read_page(text.encode(), declared="utf-8")[1]
    except Unreadable:
        return ""
