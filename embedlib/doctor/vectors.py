"""Checks of vectors as such: finite, of unit norm, different from each other.

Letters: n vectors, d components.
"""

from __future__ import annotations

import numpy as np

from embedlib.contracts import Floats
from embedlib.doctor.findings import Finding, failure, fine, warning
from embedlib.models.encoder import unit_norm

#: Mean cosine of random pairs: above the first, similarities hardly tell documents apart.
CROWDED, ALIKE = 0.6, 0.9
NORM_TOLERANCE = 1e-2
PAIRS = 20_000


def check_norms(vectors: Floats, declared_unit: bool, metric: str = "inner_product") -> Finding:
    """Are vectors [n, d] finite, of unit norm when declared so, and does the index's metric fit them?"""
    if not np.isfinite(vectors).all():
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        return failure(
            "vectors",
            "vectors with NaN or infinite components",
            "embedlib refresh --set encode.precision=fp32",
            rows=rows[:5].tolist(),
            share=len(rows) / len(vectors),
        )
    norms = np.linalg.norm(vectors, axis=1)
    spread = {"smallest norm": float(norms.min()), "largest norm": float(norms.max())}
    if declared_unit and np.abs(norms - 1).max() > NORM_TOLERANCE:
        return failure("vectors", "vectors declared to be of unit norm are not", "embedlib refresh", **spread)
    if not declared_unit and metric == "inner_product" and norms.max() > (1 + NORM_TOLERANCE) * norms.min():
        return warning(
            "vectors",
            "norms differ and the index uses the inner product: long vectors win whatever they are about",
            "add a Normalize module to the model, or set similarity_fn_name=cosine in its config; then "
            "`embedlib refresh`",
            metric=metric,
            **spread,
        )
    return fine("vectors", "vectors are finite and fit the metric", metric=metric, **spread)


def mean_cosine(vectors: Floats, rng: np.random.Generator, pairs: int = PAIRS) -> float:
    """Mean cosine of random pairs of different rows: the anisotropy estimate of Ethayarajh (2019),
    "How contextual are contextualized word representations?", arXiv 1909.00512. 0 for isotropic
    vectors, 1 when all point in one direction.
    """
    n = len(vectors)
    first = rng.integers(0, n, size=pairs)
    second = (first + rng.integers(1, n, size=pairs)) % n
    unit = unit_norm(vectors)
    return float(np.einsum("pd,pd->p", unit[first], unit[second]).mean())


def check_anisotropy(vectors: Floats, rng: np.random.Generator) -> Finding:
    """Do vectors of different documents differ, [n >= 2, d]?"""
    alike = mean_cosine(vectors, rng)
    evidence = {"mean cosine of random pairs": alike, "vectors": len(vectors)}
    command = "embedlib run (to fine-tune), or another pooling where this diagnosis names one"
    if alike > ALIKE:
        return failure("anisotropy", "all vectors are nearly alike", command, **evidence)
    if alike > CROWDED:
        return warning("anisotropy", "vectors are crowded into a narrow cone", command, **evidence)
    return fine("anisotropy", "vectors of different documents differ", **evidence)


def check_collapse(vectors: Floats, content_hashes: list[str]) -> Finding:
    """Do different texts share one vector (text cut off at a common beginning, or a collapsed model)?

    ``vectors`` [n, d] are those of a sample of documents, ``content_hashes`` [n] say what was encoded.
    """
    groups: dict[bytes, set[str]] = {}
    for vector, content in zip(np.round(vectors.astype(np.float32), 3) + 0.0, content_hashes, strict=True):
        groups.setdefault(vector.tobytes(), set()).add(content)
    shared = sum(len(contents) for contents in groups.values() if len(contents) > 1)
    share = shared / max(len(set(content_hashes)), 1)
    if share > 0.05:
        return warning(
            "collapse",
            "different documents have the same vector",
            "embedlib run --set ingest.chunk.max_tokens=200 (they may be cut off at a common beginning)",
            share=share,
            documents=len(vectors),
        )
    return fine("collapse", "different documents have different vectors", share=share)
