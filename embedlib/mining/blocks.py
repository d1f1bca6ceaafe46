"""A block of queries from mining to examples, kept on disk so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import Doubles, Floats, Rows
from embedlib.mining.filters import first_ranks
from embedlib.mining.miner import ORIGINS, Mined
from embedlib.mining.options import Draw, Sampling
from embedlib.retrieval.hits import NO_ROW, Bits, Mask

#: Pairs that are looked up at a time.
PAIRS = 256


@dataclass(frozen=True)
class Block:
    """The examples of a block: n pairs with k negatives each, of q queries.

    Args:
        pairs: int64 [n], positions of the pairs.
        query: int64 [n], each pair's query within the block.
        negatives: int64 [n, k] rows, -1 where there are fewer.
        miners: uint8 [n, k], who proposed each.
        scores: float32 [n, k], what the filters compared.
        ranking: float32 [n, k], what candidates were ordered by; the hybrid's score when it teaches.
        positive_scores: float32 [n].
        positive_ranking: float32 [n].
        vectors: float32 [q, d], the query vectors.
        moments: float32 [q, 4]: mean and deviation of dense, then of BM25 scores; empty without BM25.
        counts: Candidates proposed, taken by each filter, and drawn, by origin.
    """

    pairs: Rows
    query: Rows
    negatives: Rows
    miners: Bits
    scores: Floats
    ranking: Floats
    positive_scores: Floats
    positive_ranking: Floats
    vectors: Any
    moments: Floats
    counts: dict[str, dict[str, int]]

    def save(self, path: Path) -> None:
        """Write the block whole or not at all."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "counts"}
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            np.savez(stream, counts=np.frombuffer(json.dumps(self.counts).encode(), np.uint8), **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Block:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return cls(**arrays | {"counts": json.loads(arrays["counts"].tobytes())})


def draw_block(
    mined: Mined, vectors: Floats, pairs: Rows, query: Rows, rows: Rows, draw: Draw, rng: np.random.Generator
) -> Block:
    """Draw negatives for every pair of a mined block; pairs of one query draw apart.

    Args:
        mined: The block's candidates.
        vectors: float32 [q, d].
        pairs: int64 [n], positions of the block's pairs.
        query: int64 [n], each pair's query within the block.
        rows: int64 [n], each pair's document.
        draw: How.
        rng: Draws.
    """
    found = mined.candidates
    keep, ranking = mined.keep[query], found.ranking[query]
    places = sample(keep, ranking, draw.negatives, draw.how, sample_from=draw.sample_from, rng=rng)
    absent = places < 0
    own = _places(mined.positives, query, rows)
    miners = np.where(absent, 0, _at(found.miners[query], places)).astype(np.uint8)
    moments = mined.moments
    return Block(
        pairs=pairs,
        query=query,
        negatives=np.where(absent, NO_ROW, _at(found.rows[query], places)),
        miners=miners,
        scores=np.where(absent, np.float32(-np.inf), _at(found.scores[query], places)),
        ranking=np.where(absent, np.float32(-np.inf), _at(ranking, places)),
        positive_scores=mined.positive_scores[query, own],
        positive_ranking=mined.positive_ranking[query, own],
        vectors=vectors.astype(np.float32),
        moments=np.empty((len(vectors), 0), np.float32)
        if moments is None
        else np.stack([values for pair in moments for values in pair], axis=1).astype(np.float32),
        counts={
            "proposed": _by_origin(found.miners),
            **{name: dict(counter) for name, counter in mined.removed.items()},
            "drawn": _by_origin(miners),
        },
    )


def _places(positives: Rows, query: Rows, rows: Rows) -> Rows:
    """The place of each pair's document among its query's positives, of which there may be thousands."""
    parts = (slice(low, low + PAIRS) for low in range(0, len(query), PAIRS))
    found = [np.argmax(positives[query[part]] == rows[part, None], axis=1) for part in parts]
    return np.concatenate([np.empty(0, np.int64), *found])


def _at(table: Any, places: Rows) -> Any:
    return np.take_along_axis(table, np.maximum(places, 0), axis=1)


def _by_origin(miners: Bits) -> dict[str, int]:
    counts = np.bincount(miners.ravel(), minlength=4)
    return {ORIGINS[bit]: int(counts[bit]) for bit in ORIGINS if counts[bit]}


def sample(
    keep: Mask, ranking: Floats, count: int, how: Sampling, *, sample_from: int, rng: np.random.Generator
) -> Rows:
    """Choose ``count`` of each query's candidates.

    Args:
        keep: bool [q, c], candidates in ranking order.
        ranking: float32 [q, c], descending.
        count: Negatives per query.
        how: ``top``: the first; ``random``: any of the first ``sample_from`` alike; ``score``: one
            of those, likelier the higher it ranks: proportional to exp(z), z its standardised score
            (drawn without replacement by Gumbel noise, Kool et al., ICML 2019).
        sample_from: Ranks drawn from.
        rng: Draws.

    Returns:
        Positions int64 [q, count] in ranking order, -1 where fewer remain.
    """
    pool = keep if how == "top" else first_ranks(keep, sample_from)
    if how == "top":
        chosen = first_ranks(pool, count)
    else:
        keys = rng.gumbel(size=pool.shape)
        if how == "score":
            keys += _z_in_pool(ranking, pool)
        keys[~pool] = -np.inf
        chosen = _highest(keys, pool, count)
    return _positions(chosen, count)


def _highest(keys: Doubles, pool: Mask, count: int) -> Mask:
    chosen = np.zeros_like(pool)
    order = np.argsort(-keys, axis=1, kind="stable")[:, :count]
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen & pool


def _positions(chosen: Mask, count: int) -> Rows:
    out = np.full((len(chosen), count), -1, dtype=np.int64)
    query, place = np.nonzero(chosen)
    out[query, (np.cumsum(chosen, axis=1) - 1)[query, place]] = place
    return out


def _z_in_pool(ranking: Floats, pool: Mask) -> Doubles:
    """Z-scores among a pool's candidates; those of ``retrieval.moments`` are over the corpus."""
    values = np.where(pool, ranking, 0.0).astype(np.float64)
    n = np.maximum(pool.sum(axis=1, keepdims=True), 1)
    mean = values.sum(axis=1, keepdims=True) / n
    spread = np.sqrt(np.where(pool, (values - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / n)
    z: Doubles = np.where(pool, (values - mean) / np.maximum(spread, 1e-9), 0.0)
    return z
