"""What a corpus is like: lengths against the model's limit, scripts, languages, empty fields."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np

from embedlib.contracts import Corpus
from embedlib.corpus.duplicates import NearDuplicateCounts
from embedlib.corpus.language import language_of
from embedlib.corpus.rejects import LeftOut
from embedlib.corpus.tokens import TokenCounter
from embedlib.errors import DataError
from embedlib.json_file import IfGiven, JsonFile, JsonPart
from embedlib.progress import Progress, silent

#: Documents whose tokens are counted.
PROFILED = 5_000
BINS = (0, 16, 32, 64, 128, 192, 256, 384, 512, 1024, 2048, 8192)


class TokenFigures(JsonPart):
    """Tokens per document: quantiles, a histogram, and the share beyond the model's limit."""

    limit: int | None
    truncated_share: float
    mean: float
    median: int
    p95: int
    longest: int
    histogram: dict[str, int]


class CorpusProfile(JsonFile):
    """What was read, what became of it, and what the documents are like.

    ``sampled`` is the number of documents that ``scripts``, ``languages`` and ``tokens`` come from;
    ``languages`` counts those whose language is plain; ``left_out`` is given for sources that are files.
    """

    FILE: ClassVar[str] = "profile.json"
    documents: int
    records: int
    rejected: int
    empty: int
    ignored: int
    cut: int
    duplicates: int
    duplicates_dropped: int
    without_title: int
    title_only: int
    near_duplicates: NearDuplicateCounts
    left_out: IfGiven[LeftOut] = None
    sampled: int
    scripts: dict[str, int]
    languages: IfGiven[dict[str, int]] = None
    tokens: TokenFigures


class TextFigures(NamedTuple):
    """Scripts, languages and tokens of the documents looked at."""

    sampled: int
    scripts: dict[str, int]
    languages: dict[str, int]
    tokens: TokenFigures


def sample_rows(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` rows spread evenly over ``count``.

    >>> sample_rows(10, 4)
    [0, 2, 5, 7]
    """
    if count <= wanted:
        return list(range(count))
    return [row * count // wanted for row in range(wanted)]


def text_figures(corpus: Corpus, counter: TokenCounter, *, progress: Progress = silent) -> TextFigures:
    """Tokens, truncation, scripts and languages of at most ``PROFILED`` documents, sampled evenly."""
    rows = sample_rows(len(corpus), PROFILED)
    lengths: list[int] = []
    scripts: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    for start in range(0, len(rows), 1024):
        texts = corpus.texts_at(rows[start : start + 1024])
        lengths += counter.count(texts)
        scripts.update(main_script(text) for text in texts)
        languages.update(code for text in texts if (code := language_of(text)))
        progress(len(lengths), len(rows), "tokens counted")
    tokens = token_figures(lengths, counter.limit)
    return TextFigures(len(rows), dict(scripts.most_common()), dict(languages.most_common()), tokens)


def token_figures(lengths: Sequence[int], limit: int | None) -> TokenFigures:
    """Histogram and quantiles of token counts, and the share beyond the model's limit."""
    tokens = np.asarray(lengths)
    counts, _ = np.histogram(tokens, bins=[*BINS, np.inf])
    return TokenFigures(
        limit=limit,
        truncated_share=round(float((tokens > limit).mean()), 4) if limit else 0.0,
        mean=round(float(tokens.mean()), 1),
        median=int(np.median(tokens)),
        p95=int(np.quantile(tokens, 0.95)),
        longest=int(tokens.max()),
        histogram={f"{low}+": int(n) for low, n in zip(BINS, counts, strict=True)},
    )


@lru_cache(maxsize=65536)
def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    return name.split(" ")[0].split("-")[0].capitalize() if name else "Unknown"


def main_script(text: str) -> str:
    """The script of most of a text's first 200 letters, by the first word of their Unicode names.

    >>> main_script("Быстрый brown лис"), main_script("漢字 kanji 漢字漢字漢字"), main_script("1 + 1")
    ('Cyrillic', 'Cjk', 'None')
    """
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else "None"
    found = Counter(_script(c) for c in [c for c in text if c.isalpha()][:200])
    return found.most_common(1)[0][0] if found else "None"


def check_limits(shares: Iterable[tuple[str, float, float, str]], where: str) -> None:
    """Fail when a share is above its limit.

    Each share has its option's name, what was found, what is allowed, and a remedy.

    Raises:
        DataError: Naming the first share that is too large.
    """
    for name, found, allowed, remedy in shares:
        if found > allowed:
            raise DataError(
                f"{name} is above its limit",
                where=where,
                expected=f"at most {allowed:.1%} (ingest.limits.{name})",
                found=f"{found:.1%}",
                remedy=remedy,
            )
