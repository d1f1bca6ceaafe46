"""A provider's key: read from the environment, and kept out of everything that is written."""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import httpx

from embedlib.errors import ConfigError

MASK = "[key]"
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")  # a pasted key has small letters or dashes
_PIECE = 8  # the shortest part of a key that is masked; providers echo keys cut in the middle


class ApiKey(httpx.Auth):
    """Sends ``Authorization: Bearer …`` and masks the key wherever text leaves the program.

    Args:
        env: Name of the environment variable that holds the key; None for servers that need none.

    Raises:
        ConfigError: The variable is not set, empty, or holds what no header can carry.
    """

    def __init__(self, env: str | None) -> None:
        self.env = env
        self._secret = "" if env is None else _read(env)

    def __repr__(self) -> str:
        return f"ApiKey(env={self.env!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the variable's name, never its value."""
        return (ApiKey, (self.env,))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header at the last moment (``httpx.Auth``)."""
        if self._secret:
            request.headers["Authorization"] = f"Bearer {self._secret}"
        yield request

    def redact(self, text: str) -> str:
        """``text`` with the key, and every part of it of 8 characters or more, masked."""
        if not self._secret or not text:
            return text
        size = min(_PIECE, len(self._secret))
        pieces = {self._secret[i : i + size] for i in range(len(self._secret) - size + 1)}
        hidden = [False] * len(text)
        for start in range(len(text) - size + 1):
            if text[start : start + size] in pieces:
                hidden[start : start + size] = [True] * size
        return _masked(text, hidden)


def _masked(text: str, hidden: list[bool]) -> str:
    out: list[str] = []
    for index, character in enumerate(text):
        if not hidden[index]:
            out.append(character)
        elif index == 0 or not hidden[index - 1]:
            out.append(MASK)
    return "".join(out)


def _read(env: str) -> str:
    if not _NAME.fullmatch(env):
        raise ConfigError(
            ["key_env is no variable's name: capitals, digits and underscores (what it holds is not shown)"],
            remedy="put the key into an environment variable, and that variable's name into key_env",
        )
    secret = os.environ.get(env, "").strip()
    if not secret:
        raise ConfigError(
            [f"environment variable {env} is not set"], remedy=f"export {env}=… before starting the run"
        )
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ConfigError(
            [f"environment variable {env} holds blanks or characters that no HTTP header can carry"],
            remedy=f"export {env} again; its value is not shown here",
        )
    return secret
