"""Who may ask: the bearer key, the names a server goes by, and which addresses need a key."""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
from collections.abc import Sequence

from embedlib.errors import UserError

#: Shortest key that guards a server which other machines can reach.
KEY_CHARS = 16


class BearerKey:
    """Compares what a client sends with the key, in the same time whatever it sends.

    Args:
        secret: The key; empty for a server that asks for none.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def __repr__(self) -> str:
        return f"BearerKey(required={self.required})"

    @property
    def required(self) -> bool:
        """Whether a key has to be sent."""
        return bool(self._secret)

    def admits(self, authorization: bytes) -> bool:
        """Whether the value of an ``Authorization`` header carries the key."""
        scheme, _, given = authorization.partition(b" ")
        same = hmac.compare_digest(given.strip(), self._secret)
        return not self._secret or (same and scheme.lower() == b"bearer")


def read_key(host: str, env: str) -> BearerKey:
    """The key of a server that listens on ``host``.

    Args:
        host: Address or name.
        env: Environment variable that holds the key; on loopback it may be missing.

    Raises:
        UserError: Other machines can reach the server and there is no key, or a short one.
    """
    secret = os.environ.get(env, "").strip()
    if is_loopback(host) or len(secret) >= KEY_CHARS:
        return BearerKey(secret)
    raise UserError(
        f"{host} can be reached from other machines, so requests must carry a key",
        where=f"environment variable {env}",
        expected=f"at least {KEY_CHARS} characters",
        found=f"{len(secret)} characters" if secret else "not set",
        remedy=f"export {env}=$(openssl rand -hex 32), or listen on 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("::1")
    (True, True, False, True)
    """
    address = _numeric(host)
    return host == "localhost" if address is None else address.is_loopback


class HostNames:
    """The names a request may be addressed to.

    A page of another site that points its own name at this server's address (DNS rebinding) sends
    that name; numeric addresses cannot be pointed anywhere.

    Args:
        allowed: Names beyond ``localhost``, this machine's own, and numeric addresses.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in allowed)}

    def admits(self, host: str) -> bool:
        """Whether the value of a ``Host`` header names this server.

        >>> names = HostNames(["search.example"])
        >>> [names.admits(h) for h in ("127.0.0.1:8080", "[::1]:8080", "Search.example", "evil.example", "")]
        [True, True, True, False, False]
        """
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        return name in self._names or _numeric(name) is not None


def _numeric(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a name is, if it is one."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
