"""What a corpus is like: lengths against the model's limit, scripts, empty fields."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from embedlib.contracts import Corpus, document_text
from embedlib.corpus.tokens import TokenCounter
from embedlib.errors import DataError
from embedlib.progress import Progress, silent

BINS = (0, 16, 32, 64, 128, 192, 256, 384, 512, 1024, 2048, 8192)


def sample_rows(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` rows spread evenly over ``count``.

    >>> sample_rows(10, 4)
    [0, 2, 5, 7]
    """
    if count <= wanted:
        return list(range(count))
    return [row * count // wanted for row in range(wanted)]


def profile_corpus(
    corpus: Corpus, counter: TokenCounter, *, documents: int, progress: Progress = silent
) -> dict[str, Any]:
    """Tokens, truncation and scripts of a corpus, from at most ``documents`` of its documents.

    Args:
        corpus: The corpus.
        counter: The model's tokenizer and limit.
        documents: Documents looked at; larger corpora are sampled evenly.
        progress: Progress callback: documents counted.

    Returns:
        JSON values; ``sampled`` says how many documents the figures come from.
    """
    rows = sample_rows(len(corpus), documents)
    lengths: list[int] = []
    scripts: Counter[str] = Counter()
    for start in range(0, len(rows), 1024):
        texts = [document_text(d.title, d.text) for d in corpus.take(rows[start : start + 1024])]
        lengths += counter.count(texts)
        scripts.update(main_script(text) for text in texts)
        progress(len(lengths), len(rows), "tokens counted")
    return {
        "sampled": len(rows),
        "scripts": dict(scripts.most_common()),
        "tokens": token_figures(lengths, counter.limit),
    }


def token_figures(lengths: Sequence[int], limit: int | None) -> dict[str, Any]:
    """Histogram and quantiles of token counts, and the share beyond the model's limit."""
    tokens = np.asarray(lengths)
    counts, _ = np.histogram(tokens, bins=[*BINS, np.inf])
    return {
        "limit": limit,
        "truncated_share": round(float((tokens > limit).mean()), 4) if limit else 0.0,
        "mean": round(float(tokens.mean()), 1),
        "median": int(np.median(tokens)),
        "p95": int(np.quantile(tokens, 0.95)),
        "longest": int(tokens.max()),
        "histogram": {f"{low}+": int(n) for low, n in zip(BINS, counts, strict=True)},
    }


@lru_cache(maxsize=65536)
def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    return name.split(" ")[0].split("-")[0].capitalize() if name else "Unknown"


def main_script(text: str, letters: int = 200) -> str:
    """The script of most of a text's first letters, by the first word of their Unicode names.

    >>> main_script("Быстрый brown лис"), main_script("漢字 kanji 漢字漢字漢字"), main_script("1 + 1")
    ('Cyrillic', 'Cjk', 'None')
    """
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else "None"
    found = Counter(_script(c) for c in [c for c in text if c.isalpha()][:letters])
    return found.most_common(1)[0][0] if found else "None"


def check_limits(shares: Iterable[tuple[str, float, float, str]], where: str) -> None:
    """Fail when a share is above its limit.

    Args:
        shares: (option's name, share found, share allowed, remedy) each.
        where: The source.

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
