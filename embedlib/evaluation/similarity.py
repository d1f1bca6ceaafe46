"""Sentence similarity sets: rank correlation of cosines with people's scores, with intervals."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedlib.contracts import Doubles
from embedlib.errors import DataError
from embedlib.evaluation.significance import Interval, interval, resamples
from embedlib.evaluation.statistics import Resampling
from embedlib.models.encoder import Encoder, unit_norm

COLUMNS = ("sentence1", "sentence2", "score")


@dataclass(frozen=True)
class SentencePairs:
    """Pairs of sentences and how similar people find them.

    All are [n]; a higher score is more similar.
    """

    first: list[str]
    second: list[str]
    scores: Doubles


def similarity_file(path: Path, split: str) -> Path | None:
    """The similarity set at a path: the file itself, or a folder's file of the split; None if it is none."""
    file = path / f"{split}.tsv" if path.is_dir() else path
    if file.suffix != ".tsv" or not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as stream:
        header = {name.strip() for name in stream.readline(1000).split("\t")}
    return file if header >= set(COLUMNS) else None


def read_pairs(path: Path) -> SentencePairs:
    """Read a TSV file with the columns sentence1, sentence2 and score.

    Raises:
        DataError: The file or a column is missing, a score is no number, a sentence is empty, or
            all scores are equal; the line is named.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a similarity set cannot be read", where=str(path), found=str(error)) from error
    header = [c.strip() for c in rows[0]] if rows else []
    missing = [c for c in COLUMNS if c not in header]
    if missing:
        raise DataError(
            f"columns missing in a similarity set: {', '.join(missing)}",
            where=str(path),
            expected="\t".join(COLUMNS),
            found="\t".join(header) or "an empty file",
        )
    places = [header.index(c) for c in COLUMNS]
    parsed = [_pair(row, places, f"{path}, line {n}") for n, row in enumerate(rows[1:], 2) if any(row)]
    scores = np.array([score for _, _, score in parsed])
    if len(scores) < 2 or np.ptp(scores) == 0:
        raise DataError(
            "a similarity set needs scores that differ", where=str(path), found=f"{len(parsed)} pairs"
        )
    return SentencePairs([a for a, _, _ in parsed], [b for _, b, _ in parsed], scores)


def _pair(row: list[str], places: list[int], where: str) -> tuple[str, str, float]:
    if len(row) <= max(places):
        raise DataError(
            "a row has too few columns", where=where, expected=str(max(places) + 1), found=str(len(row))
        )
    first, second, text = (row[p].strip() for p in places)
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError("a score is not a number", where=where, found=repr(text))
    if not first or not second:
        raise DataError("a sentence is empty", where=where)
    return first, second, score


def cosines(encoder: Encoder, pairs: SentencePairs) -> Doubles:
    """Cosine similarity of each pair by a model, without prompts, [n]; equal sentences are encoded once."""
    unique = list(dict.fromkeys([*pairs.first, *pairs.second]))
    place = {text: i for i, text in enumerate(unique)}
    vectors = unit_norm(encoder.encode(unique))  # [u, d]
    a = vectors[[place[t] for t in pairs.first]]
    b = vectors[[place[t] for t in pairs.second]]
    products: Doubles = np.einsum("nd,nd->n", a, b).astype(np.float64)
    return products


def correlations(predicted: Doubles, scores: Doubles, resampling: Resampling) -> dict[str, Interval]:
    """Spearman's and Pearson's correlation with percentile bootstrap intervals over pairs.

    Raises:
        DataError: A value is not finite.
    """
    ranks, values = [_Ranks(predicted), _Ranks(scores)], [predicted, scores]
    _require_finite(predicted)
    spearman, pearson = [], []
    for counts in resamples(len(scores), resampling):
        spearman.append(_correlation(ranks[0](counts), ranks[1](counts), counts))
        pearson.append(_correlation(values[0][None, :], values[1][None, :], counts))
    once = np.ones((1, len(scores)))
    whole = {
        "Spearman": _correlation(ranks[0](once), ranks[1](once), once)[0],
        "Pearson": _correlation(values[0][None, :], values[1][None, :], once)[0],
    }
    drawn = {"Spearman": np.concatenate(spearman), "Pearson": np.concatenate(pearson)}
    return {name: interval(whole[name], drawn[name], len(scores), resampling) for name in whole}


def spearman_difference(
    a: Doubles, b: Doubles, scores: Doubles, resampling: Resampling
) -> tuple[float, float, Interval]:
    """Spearman's correlation of a and of b with the scores, and the interval of their difference.

    Both are computed on the same resamples of pairs, ranks anew in each.

    Raises:
        DataError: A value is not finite.
    """
    _require_finite(a)
    _require_finite(b)
    ranks = [_Ranks(x) for x in (a, b, scores)]
    once = np.ones((1, len(scores)))
    drawn = []
    for counts in resamples(len(scores), resampling):
        gold = ranks[2](counts)
        drawn.append(
            _correlation(ranks[0](counts), gold, counts) - _correlation(ranks[1](counts), gold, counts)
        )
    both = [float(_correlation(r(once), ranks[2](once), once)[0]) for r in ranks[:2]]
    return both[0], both[1], interval(both[0] - both[1], np.concatenate(drawn), len(scores), resampling)


class _Ranks:
    """Mid-ranks of fixed values in resamples given by counts, without sorting again."""

    def __init__(self, values: Doubles) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # first of each tie
        self.group = np.cumsum(np.r_[True, ordered[1:] != ordered[:-1]]) - 1  # [n] in sorted order
        self.back = np.argsort(self.order, kind="stable")

    def __call__(self, counts: Doubles) -> Doubles:
        """Mid-rank of each value in each resample, [draws, n]; values drawn 0 times get some number."""
        tied = np.add.reduceat(counts[:, self.order], self.starts, axis=1)  # [draws, groups]
        middle = np.cumsum(tied, axis=1) - tied / 2 + 0.5
        found: Doubles = middle[:, self.group][:, self.back]
        return found


def _correlation(x: Doubles, y: Doubles, counts: Doubles) -> Doubles:
    """Pearson's correlation of x and y, [draws or 1, n], weighted by counts, [draws, n]; 0 when constant."""
    total = counts.sum(axis=1, keepdims=True)
    dx = x - (counts * x).sum(axis=1, keepdims=True) / total
    dy = y - (counts * y).sum(axis=1, keepdims=True) / total
    covariance = (counts * dx * dy).sum(axis=1)
    spread = np.sqrt((counts * dx * dx).sum(axis=1) * (counts * dy * dy).sum(axis=1))
    result: Doubles = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-12)
    return result


def _require_finite(values: Doubles) -> None:
    if not np.isfinite(values).all():
        raise DataError(
            "a predicted similarity is not finite", where=f"pair {int(np.argmin(np.isfinite(values)))}"
        )
