"""Long documents cut at headings, paragraphs and sentences, below what the model reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from embedlib.corpus.build import Piece
from embedlib.corpus.markup import MARK, page_of, unmarked
from embedlib.corpus.tokens import WINDOW, TokenCounter, pieces

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9\u00c0-\uffff])|(?<=[。！？])")

_GAP = re.compile(r"\n\s*\n")
#: Sentences whose tokens are counted together, and characters of the longest that is not cut unseen.
BLOCK, LONGEST_SENTENCE = 4096, 100_000


class _Unit(NamedTuple):
    """What is not cut further, a sentence or a heading, and the white space before it."""

    text: str
    glue: str
    heading: bool
    tokens: int
    page: int = 0


class Cutter:
    """Cuts a document into pieces of at most ``max_tokens``, title and special tokens included.

    A piece never crosses a heading unless both sides are short; sentences longer than a piece are cut
    between words.

    Args:
        counter: The model's tokenizer.
        max_tokens: Longest piece; lowered to the model's limit.
        overlap_tokens: Sentences repeated from the end of the piece before, up to so many tokens.
    """

    def __init__(self, counter: TokenCounter, max_tokens: int, overlap_tokens: int = 0) -> None:
        self.counter = counter
        self.max_tokens = min(max_tokens, counter.limit or max_tokens)
        self.overlap_tokens = overlap_tokens

    def __call__(self, title: str, text: str) -> list[Piece]:
        """The pieces of a document; a single one when all of it fits."""
        if len(text) <= WINDOW and self.counter.count([f"{title} {text}"])[0] <= self.max_tokens:
            return [Piece("", unmarked(text), page_of(text.split("\n", 1)[0]) or 0)]
        room = self.max_tokens - min(self.counter.count([title])[0], self.max_tokens // 2)
        units = self._units(text, room)
        return [_piece(heading, group) for heading, group in self._packed(units, room)]

    def _units(self, text: str, room: int) -> Iterator[_Unit]:
        page = 0
        for part, glue, count in self._counted(_sentences(text)):
            tokens = count - self.counter.special
            if (number := page_of(part)) is not None:
                page = number
            elif tokens <= room:
                yield _Unit(unmarked(part), glue, part.startswith(MARK), tokens, page)
            else:
                yield from (unit._replace(page=page) for unit in self._cut_words(part, glue, room))

    def _counted(self, parts: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str, int]]:
        """Each part with its tokens, ``BLOCK`` parts in memory at a time."""
        while block := list(islice(parts, BLOCK)):
            counts = self.counter.count([part for part, _ in block])
            yield from ((part, glue, count) for (part, glue), count in zip(block, counts, strict=True))

    def _cut_words(self, sentence: str, glue: str, room: int) -> Iterator[_Unit]:
        """A sentence longer than a piece, halved between words (or characters) until its parts fit."""
        tokens = self.counter.count([sentence])[0] - self.counter.special
        if tokens <= room or len(sentence) < 2:
            yield _Unit(unmarked(sentence), glue, False, tokens)
            return
        middle = sentence.rfind(" ", 1, len(sentence) // 2 + 1)
        at = middle if middle > 0 else len(sentence) // 2
        yield from self._cut_words(sentence[:at], glue, room)
        yield from self._cut_words(sentence[at:].lstrip(), " " if middle > 0 else "", room)

    def _packed(self, units: Iterable[_Unit], room: int) -> Iterator[tuple[str, list[_Unit]]]:
        """(heading above, units) of each piece, filled in order."""
        group: list[_Unit] = []
        heading = above = ""
        size = 0
        for unit in units:
            starts_section = unit.heading and not (group and group[-1].heading) and size > room // 4
            if group and (size + unit.tokens > room or starts_section):
                yield above, group
                group = [] if starts_section else self._overlap(group, room - unit.tokens)
                size = sum(u.tokens for u in group)
                above = heading
            if unit.heading:
                heading = unit.text
                above = above if size else heading
            group.append(unit)
            size += unit.tokens
        if group:
            yield above, group

    def _overlap(self, group: Sequence[_Unit], room: int) -> list[_Unit]:
        """The last sentences of a piece, as many as fit the overlap."""
        kept: list[_Unit] = []
        left = min(self.overlap_tokens, room)
        for unit in reversed(group):
            if unit.heading or unit.tokens > left:
                break
            kept.insert(0, unit)
            left -= unit.tokens
        return kept


def _piece(heading: str, group: Sequence[_Unit]) -> Piece:
    text = group[0].text + "".join(unit.glue + unit.text for unit in group[1:])
    return Piece(heading, text.strip(), group[0].page)


def _paragraphs(text: str) -> Iterator[str]:
    start = 0
    for gap in _GAP.finditer(text):
        yield text[start : gap.start()]
        start = gap.end()
    yield text[start:]


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    """(heading, line or sentence, and the white space before it)."""
    for paragraph in _paragraphs(text):
        glue = "\n\n"
        for line in paragraph.split("\n"):
            if line.startswith(MARK):
                yield line, glue
                glue = "\n"
                continue
            for sentence in _SENTENCE_END.split(line):
                for part in pieces(sentence, LONGEST_SENTENCE):
                    if part.strip():
                        yield part.strip(), glue
                        glue = " "
            glue = "\n"
