"""Checks that a release's parts were made from each other, and that its model still gives its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedlib.contracts import Floats
from embedlib.doctor.findings import Finding, failure, fine, warning
from embedlib.index.verify import SAME_VECTOR, row_cosines


def check_pairing(released: Mapping[str, str], recorded: Mapping[str, Mapping[str, str]]) -> Finding:
    """Do vectors and index name the released model and corpus as what they were made from?

    Args:
        released: Content digest of each part, by name.
        recorded: For ``vectors`` and ``index``: the ``model`` and ``corpus`` digests they record.
    """
    wrong = {
        f"{part} was made with another {source}": {"released": released[source], "recorded": digest}
        for part, sources in recorded.items()
        for source, digest in sources.items()
        if digest != released[source]
    }
    if wrong:
        return failure(
            "pairing",
            "the release mixes parts that do not belong together: its results are inconsistent",
            "embedlib rollback, then embedlib refresh",
            **wrong,
        )
    return fine("pairing", "model, vectors and index belong together", parts=sorted(released))


def check_same_vectors(stored: Floats, encoded: Floats, doc_ids: list[str]) -> Finding:
    """Does the released model give the released vectors (same pooling, prompts, length, weights)?

    ``stored`` are vectors of a sample of documents, ``encoded`` the same documents' now, both [n, d].
    """
    if stored.shape != encoded.shape:
        return failure(
            "same-vectors",
            "the model's vectors have another dimension than the index's",
            "embedlib rollback, then embedlib refresh",
            stored=list(stored.shape),
            encoded=list(encoded.shape),
        )
    cosines = row_cosines(stored, encoded)
    evidence: dict[str, Any] = {"lowest cosine": float(cosines.min()), "documents": len(doc_ids)}
    if cosines.min() < SAME_VECTOR:
        return failure(
            "same-vectors",
            "the model encodes documents differently now than when the index was built: results are "
            "inconsistent (pooling, prompts, max length or weights changed)",
            "embedlib verify; then embedlib refresh",
            document=doc_ids[int(cosines.argmin())],
            **evidence,
        )
    return fine("same-vectors", "the model gives the vectors that are in the index", **evidence)


def check_library(recorded: str | None, installed: str) -> Finding:
    """Was the model made with the sentence-transformers of this major version?"""
    if recorded and _major(recorded) > _major(installed):
        return warning(
            "library",
            "the model was saved by a newer sentence-transformers",
            f"pip install 'sentence-transformers>={recorded}'",
            model=recorded,
            installed=installed,
        )
    return fine("library", "sentence-transformers can read the model", model=recorded, installed=installed)


def _major(version: str) -> int:
    return int(version.partition(".")[0])
