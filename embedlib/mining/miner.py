"""Mine one block of queries: propose, unite, score, filter, count.

Letters: q queries, c candidates of a query, p known positives of a query, d components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.mining.filters import (
    first_ranks,
    lowest_scores,
    near_duplicates,
    same_row_or_text,
    score_limits,
)
from embedlib.mining.options import Rules
from embedlib.pairs.filters import above_background
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.dense import Blocks, dense_scores, exact_search
from embedlib.retrieval.fusion import fused_scores
from embedlib.retrieval.hits import NO_ROW, Bits, Hits, Mask, look_up, unite
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import Moments, VectorMoments
from embedlib.retrieval.plan import DEFAULT_WEIGHT
from embedlib.retrieval.rerank import PairScorer, score_rows

#: Bit of each miner in ``Candidates.miners``.
MINERS = {"dense": 1, "bm25": 2}
ORIGINS = {1: "dense", 2: "bm25", 3: "dense+bm25"}


@dataclass(frozen=True)
class Candidates:
    """Candidates of q queries, best first; empty places have row -1 and come last.

    Args:
        rows: int64 [q, c].
        miners: uint8 [q, c], who proposed each: bits of ``MINERS``.
        scores: float32 [q, c], what filters compare: cosine to the query, or the cross-encoder's score.
        ranking: float32 [q, c], what candidates are ordered by.
    """

    rows: Rows
    miners: Bits
    scores: Floats
    ranking: Floats

    def ordered(self) -> Candidates:
        """The same, ordered by (-ranking, row)."""
        absent = self.rows == NO_ROW
        ranking = np.where(absent, np.float32(-np.inf), self.ranking)
        order = np.lexsort((self.rows, -ranking, absent), axis=1)
        take = [np.take_along_axis(a, order, axis=1) for a in (self.rows, self.miners, self.scores, ranking)]
        return Candidates(*take)


@dataclass(frozen=True)
class Sources:
    """What is mined, and by whom.

    Args:
        blocks: The corpus vectors.
        vectors_of: float32 [n, d] of rows int64 [n].
        classes: int64 [n], equal for rows of equal text.
        bm25: Index of the corpus; None when neither a miner nor a teacher needs it.
        moments: Of the corpus vectors; None likewise.
        cross_encoder: Scores candidates in the place of the vectors; None: the vectors do.
        texts_of: Texts of rows, for the cross-encoder.
        background: Mean cosine of unrelated documents, from which near-duplicates are measured.
    """

    blocks: Blocks
    vectors_of: Callable[[Rows], Floats]
    classes: Rows
    bm25: BM25Index | None = None
    moments: VectorMoments | None = None
    cross_encoder: PairScorer | None = None
    texts_of: Callable[[Rows], list[str]] = list
    background: float = 0.0


@dataclass(frozen=True)
class Mined:
    """What a block of queries gave.

    Args:
        candidates: Best first.
        keep: bool [q, c], the candidates that passed every filter.
        positives: int64 [q, p] known positives, -1 where there is none.
        positive_scores: float32 [q, p], comparable with ``candidates.scores``.
        positive_ranking: float32 [q, p], comparable with ``candidates.ranking``.
        removed: How many candidates each filter took, by filter and origin.
        moments: Moments of the queries' dense and BM25 scores; None without BM25.
    """

    candidates: Candidates
    keep: Mask
    positives: Rows
    positive_scores: Floats
    positive_ranking: Floats
    removed: dict[str, Counter[str]]
    moments: tuple[Moments, Moments] | None


def mine(texts: Sequence[str], queries: Floats, positives: Rows, sources: Sources, rules: Rules) -> Mined:
    """Candidates for a block of queries, and which of them may be negatives.

    Args:
        texts: q query texts.
        queries: float32 [q, d], their vectors.
        positives: int64 [q, p] documents known to be relevant, -1 where there is none.
        sources: What is mined.
        rules: How.
    """
    candidates, moments, ranking = _propose(texts, queries, positives, sources, rules)
    positive_scores = _score(texts, queries, positives, sources)
    if sources.cross_encoder is not None:
        scores = _score(texts, queries, candidates.rows, sources)
        candidates = Candidates(candidates.rows, candidates.miners, scores, scores).ordered()
        ranking = positive_scores
    keep, removed = _filter(candidates, positives, positive_scores, sources, rules)
    return Mined(candidates, keep, positives, positive_scores, ranking, removed, moments)


def _propose(
    texts: Sequence[str], queries: Floats, positives: Rows, sources: Sources, rules: Rules
) -> tuple[Candidates, tuple[Moments, Moments] | None, Floats]:
    """The miners' proposals in ranking order, the queries' moments, and the positives' ranking scores."""
    found: list[tuple[int, Hits]] = []
    if "dense" in rules.miners:
        found.append((MINERS["dense"], exact_search(queries, sources.blocks, rules.depth)))
    positive_dense = dense_scores(queries, positives, sources.vectors_of)
    if sources.bm25 is None or sources.moments is None:
        ((miner, hits),) = found
        miners = np.where(hits.rows == NO_ROW, 0, miner).astype(np.uint8)
        return Candidates(hits.rows, miners, hits.scores, hits.scores), None, positive_dense
    looked_up = np.concatenate([positives, *(hits.rows for _, hits in found)], axis=1)
    lexical = lexical_scores(sources.bm25, texts, rules.depth, looked_up)
    if "bm25" in rules.miners:
        found.append((MINERS["bm25"], lexical.hits))
    rows, miners = unite(found)
    dense = _dense(queries, rows, miners, dict(found).get(MINERS["dense"]), sources)
    known = np.concatenate([looked_up, lexical.hits.rows], axis=1)
    values = np.concatenate([lexical.at, lexical.hits.scores], axis=1)
    moments = (sources.moments.of_queries(queries), lexical.moments)
    if rules.miners == ("bm25",):
        ranking, positive_ranking = look_up(rows, known, values), lexical.at[:, : positives.shape[1]]
    else:
        ranking = fused_scores(dense, look_up(rows, known, values), *moments, DEFAULT_WEIGHT)
        at = lexical.at[:, : positives.shape[1]]
        positive_ranking = fused_scores(positive_dense, at, *moments, DEFAULT_WEIGHT)
    positive_ranking = np.where(positives == NO_ROW, np.float32(-np.inf), positive_ranking)
    return Candidates(rows, miners, dense, ranking).ordered(), moments, positive_ranking


def _dense(queries: Floats, rows: Rows, miners: Bits, hits: Hits | None, sources: Sources) -> Floats:
    """Dense scores of candidates: known for the dense miner's hits, computed for the rest."""
    if hits is None:
        return dense_scores(queries, rows, sources.vectors_of)
    known = (miners & MINERS["dense"]) > 0
    scores = look_up(np.where(known, rows, NO_ROW), hits.rows, hits.scores)
    if (missing := np.where(known, NO_ROW, rows)).max(initial=NO_ROW) > NO_ROW:
        scores = np.where(known, scores, dense_scores(queries, missing, sources.vectors_of))
    return np.where(rows == NO_ROW, np.float32(-np.inf), scores)


def _score(texts: Sequence[str], queries: Floats, rows: Rows, sources: Sources) -> Floats:
    if sources.cross_encoder is None:
        return dense_scores(queries, rows, sources.vectors_of)
    return score_rows(sources.cross_encoder, texts, rows, sources.texts_of)


def _filter(
    candidates: Candidates, positives: Rows, positive_scores: Floats, sources: Sources, rules: Rules
) -> tuple[Mask, dict[str, Counter[str]]]:
    """Apply every filter in turn: what is left, and what each took, by origin; the first one counts."""
    keep: Mask = candidates.rows != NO_ROW
    removed: dict[str, Counter[str]] = {}

    def take_out(name: str, mask: Mask) -> None:
        gone = candidates.miners[mask & keep]
        counts = np.bincount(gone, minlength=4)
        removed[name] = Counter({ORIGINS[b]: int(counts[b]) for b in ORIGINS if counts[b]})
        np.logical_and(keep, ~mask, out=keep)

    judged, same = same_row_or_text(candidates.rows, positives, sources.classes)
    take_out("judged_relevant", judged)
    take_out("same_text", same)
    lowest = lowest_scores(positive_scores)
    for name, mask in score_limits(candidates.scores, lowest, rules.thresholds).items():
        take_out(name, mask)
    if rules.near_duplicate < 1:
        left = np.where(keep, candidates.rows, NO_ROW)
        threshold = above_background(rules.near_duplicate, sources.background)
        take_out("near_duplicate", near_duplicates(left, positives, sources.vectors_of, threshold))
    if rules.thresholds.skip_ranks:
        take_out("skipped_ranks", first_ranks(keep, rules.thresholds.skip_ranks))
    return keep, removed
