"""Passwords and tokens in addresses: what holds one, and what is shown instead."""

from __future__ import annotations

import re

#: ``user:password@``; a password may hold a slash, but ``host:8080/name@version`` has none.
_USER = re.compile(r"(?<=://)(?:[^\s/@]*@|[^\s/:@]+:(?!\d+/)\S*@)")
_PARAMETER = re.compile(
    r"(?<=[?&;])([\w.-]*(?:passw|pwd|token|secret|api_?key|credential|signature)[\w.-]*|key|sig)=[^&;#\s'\"]+",
    re.IGNORECASE,
)
#: A user without a password is a name for a database, a token for anything else.
_NAME_ONLY = re.compile(
    r"^(?:postgres|mysql|mariadb|mssql|oracle|sqlite|ssh|sftp|hdfs|file)[\w+]*://[^\s/:@]*@"
)


def redact(text: str) -> str:
    """A text with ``***`` for users, passwords and tokens in its addresses.

    >>> redact("no answer from postgresql://me:s3cret@db/prod?sslpassword=x&sslmode=on (1 try)")
    'no answer from postgresql://***@db/prod?sslpassword=***&sslmode=on (1 try)'
    >>> redact("http://host:8080/name@version")
    'http://host:8080/name@version'
    """
    return _PARAMETER.sub(r"\1=***", _USER.sub("***@", text))


def holds_secret(text: str) -> bool:
    """Whether an address in the text holds a password or a token.

    >>> holds_secret("http://me:s3cret@host"), holds_secret("https://token@host"), holds_secret("http://host/?key=x")
    (True, True, True)
    >>> holds_secret("postgresql://me@host/db"), holds_secret("http://host:5000")
    (False, False)
    """
    return redact(text) != text and not _NAME_ONLY.search(text)
