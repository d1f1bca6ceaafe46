"""Other people's text on a page or a terminal: it is shown, and does nothing."""

from __future__ import annotations

import re

#: Control characters but line ends and tabs, and marks that turn the direction of what follows.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>&|~]")


def terminal(text: str) -> str:
    r"""A text whose control characters are seen, not obeyed.

    >>> print(terminal("a\x1b]0;title\x07b"))
    a\x1b]0;title\x07b
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def markdown(text: str) -> str:
    r"""A text as one line of Markdown without images, links, HTML or layout.

    >>> print(markdown("![x](http://elsewhere/x.png) <img src=x>"))
    !\[x\](http://elsewhere/x.png) &lt;img src=x&gt;
    """
    line = " ".join(terminal(text).splitlines())
    return _MARKDOWN.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)


_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
