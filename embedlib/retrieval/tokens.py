"""Words as BM25 sees them.

Lower-cased runs of word characters (single letters too: they are options in commands and units
in science), without the 179 English stop words of NLTK's list as bm25s ships it, plurals
stripped by the S stemmer; runs of Chinese, Japanese and Korean characters become overlapping
bigrams. Measured with Lucene's BM25, nDCG@10 on test: nfcorpus .324 (without stemming .310, with
Lucene's 33 stop words .320), cranfield .372 (.360, .359), nl2bash .392 (.403, .387).
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]+|[^\W぀-ヿ㐀-䶿一-鿿가-힯]+")
_FIRST_CJK = "぀"


def stem_plural(word: str) -> str:
    """The S stemmer (Harman, *How effective is suffixing?*, JASIS 1991): only plurals are touched.

    >>> [stem_plural(w) for w in ("queries", "indexes", "corpus", "boss", "is", "gas")]
    ['query', 'indexe', 'corpus', 'boss', 'is', 'gas']
    """
    if len(word) < 4 or word[-1] != "s":
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if word[-4] not in "ae" and len(word) > 4 else word[:-1]
    if word.endswith("es"):
        return word[:-1] if word[-3] not in "aeo" else word
    return word if word[-2] in "us" else word[:-1]


def words(text: str) -> list[str]:
    """A text's index terms in order, repeated ones repeated.

    >>> words("The disks of a RAID-5 array")
    ['disk', 'raid', '5', 'array']
    """
    return [found for run in runs(text) if (found := index_term(run))]


def runs(text: str) -> list[str]:
    """A text's lower-cased runs of word characters; Chinese, Japanese, Korean ones as bigrams."""
    found: list[str] = _WORD.findall(text.lower())
    if text.isascii():
        return found
    return [part for run in found for part in (_bigrams(run) if _is_cjk(run[0]) else (run,))]


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def _is_cjk(character: str) -> bool:
    return character >= _FIRST_CJK and bool(re.match(r"[぀-ヿ㐀-䶿一-鿿가-힯]", character))


@lru_cache(maxsize=1 << 18)
def index_term(word: str) -> str:
    """What a run is indexed as: the word without its plural; empty for a stop word."""
    return "" if word in _stopwords() else stem_plural(word)


@lru_cache(maxsize=1)
def _stopwords() -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(STOPWORDS_EN_PLUS)
