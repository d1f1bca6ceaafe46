"""Parts of the queries on which a model may do worse than its mean says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from embedlib.contracts import Doubles
from embedlib.evaluation.judged import JudgedSet
from embedlib.evaluation.records import SliceFigure
from embedlib.evaluation.significance import bootstrap_mean
from embedlib.evaluation.statistics import Resampling
from embedlib.retrieval.tokens import words

#: A word is rare when at most this share of the documents (and at most RARE_MOST of them) has it.
RARE_SHARE, RARE_MOST = 0.001, 5


def slices_of(judged: JudgedSet, texts: Iterable[str]) -> dict[tuple[str, str], list[int]]:
    """Positions of the queries of each slice, by (what it is cut by, which part).

    ``texts``, one a row in row order, are read once.

    Returns:
        Slices by query length, rare words, document length, origin and the user's label.
    """
    frequency, lengths = _documents(judged, texts)
    rare = max(1, min(RARE_MOST, int(len(judged.labels) * RARE_SHARE)))
    found: dict[tuple[str, str], list[int]] = {}
    for position, (query_id, text) in enumerate(zip(judged.query_ids, judged.query_texts, strict=True)):
        keys = [("query length", _query_length(len(text.split())))]
        has_rare = any(0 < frequency[w] <= rare for w in words(text))
        keys.append(("rare words", "with" if has_rare else "without"))
        relevant = [d for d, r in judged.qrels[query_id].items() if r > 0]
        if relevant:
            mean = sum(lengths.get(d, 0) for d in relevant) / len(relevant)
            keys.append(("document length", _document_length(mean)))
        keys.append(("origin", judged.origins[query_id]))
        if tag := judged.tags.get(query_id):
            keys.append(("label", tag))
        for key in keys:
            found.setdefault(key, []).append(position)
    return {key: found[key] for key in sorted(found)}


def slice_figures(
    slices: Mapping[tuple[str, str], list[int]], candidate: Doubles, base: Doubles, resampling: Resampling
) -> list[SliceFigure]:
    """The candidate against the base on each slice, [q] values in the queries' order."""
    figures = []
    for (name, value), positions in slices.items():
        a, b = candidate[positions], base[positions]
        interval = bootstrap_mean(a - b, resampling)
        figures.append(SliceFigure(name, value, float(b.mean()), float(a.mean()), interval))
    return figures


def _documents(judged: JudgedSet, texts: Iterable[str]) -> tuple[Counter[str], dict[str, int]]:
    """In how many documents each of the queries' words stands, and the words of each relevant document."""
    asked = {w for text in judged.query_texts for w in words(text)}
    relevant = {d for documents in judged.qrels.values() for d, r in documents.items() if r > 0}
    frequency: Counter[str] = Counter()
    lengths: dict[str, int] = {}
    for label, text in zip(judged.labels, texts, strict=True):
        frequency.update(asked.intersection(words(text)))
        if label in relevant:
            lengths[label] = lengths.get(label, 0) + len(text.split())
    return frequency, lengths


def _query_length(count: int) -> str:
    return "1-3 words" if count <= 3 else "4-8 words" if count <= 8 else "9 words and more"


def _document_length(count: float) -> str:
    return "up to 50 words" if count <= 50 else "51-200 words" if count <= 200 else "over 200 words"
