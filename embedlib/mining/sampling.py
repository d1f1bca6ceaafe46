"""Which of the candidates that remain become negatives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows
from embedlib.mining.filters import first_ranks
from embedlib.mining.options import Sampling
from embedlib.retrieval.hits import Mask


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


def _highest(keys: npt.NDArray[np.float64], pool: Mask, count: int) -> Mask:
    chosen = np.zeros_like(pool)
    order = np.argsort(-keys, axis=1, kind="stable")[:, :count]
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen & pool


def _positions(chosen: Mask, count: int) -> Rows:
    out = np.full((len(chosen), count), -1, dtype=np.int64)
    query, place = np.nonzero(chosen)
    out[query, (np.cumsum(chosen, axis=1) - 1)[query, place]] = place
    return out


def _z_in_pool(ranking: Floats, pool: Mask) -> npt.NDArray[np.float64]:
    """Z-scores among a pool's candidates; those of ``retrieval.moments`` are over the corpus."""
    values = np.where(pool, ranking, 0.0).astype(np.float64)
    n = np.maximum(pool.sum(axis=1, keepdims=True), 1)
    mean = values.sum(axis=1, keepdims=True) / n
    spread = np.sqrt(np.where(pool, (values - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / n)
    z: npt.NDArray[np.float64] = np.where(pool, (values - mean) / np.maximum(spread, 1e-9), 0.0)
    return z
