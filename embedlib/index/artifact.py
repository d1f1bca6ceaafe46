"""Write the files of an index artifact."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embedlib.contracts import require_sorted_unique
from embedlib.errors import DataError, DiskFull, MismatchError
from embedlib.index.dense import scored_dimension
from embedlib.index.info import INDEX_FILE, MOMENTS_FILE, IndexInfo, Recall, SearchSettings
from embedlib.index.queries import QuerySample
from embedlib.index.select import SelectedIndex
from embedlib.models.encoder import truncate
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.moments import vector_moments
from embedlib.vectors import Vectors

logger = logging.getLogger(__name__)


def write_index(
    out: Path,
    made: SelectedIndex,
    vectors: Vectors,
    corpus_digest: str,
    requested: str,
    target: float,
    sample: QuerySample,
) -> IndexInfo:
    """Write ``index.faiss``, ``moments.npz`` (what fusion standardises dense scores by) and ``index.json``.

    Raises:
        MismatchError: The vectors are of another corpus, or ids and vectors differ in number.
        DataError: Ids that stand twice or out of order.
        DiskFull: The index did not fit on the disk.
    """
    _check_ids(vectors, corpus_digest)
    save_faiss(made.index, out / INDEX_FILE)
    write_moments(out, vectors, made.tuned.settings, int(made.index.d))
    info = IndexInfo(
        requested=requested,
        factory=made.factory,
        reason=made.reason,
        metric="inner_product" if made.index.metric_type == 0 else "l2",
        count=int(made.index.ntotal),
        dimension=int(made.index.d),
        vector_dimension=vectors.dimension,
        normalized=vectors.info.normalized,
        model_digest=vectors.model_digest,
        corpus_digest=corpus_digest,
        settings=made.tuned.settings,
        recall=Recall(
            k=made.k,
            value=round(made.tuned.recall, 6),
            target=target,
            queries=len(sample.texts),
            source=sample.source,
        ),
        curve=made.tuned.curve,
    )
    info.write(out)
    return info


def write_bm25(texts: Iterable[str], folder: Path) -> bool:
    """Index the documents' words; false where the corpus has no words to index."""
    try:
        index = build_bm25(texts)
    except DataError as error:
        logger.warning("no BM25 index: %s", error)
        return False
    index.save(folder)
    return True


def write_moments(out: Path, vectors: Vectors, settings: SearchSettings, indexed: int) -> None:
    """Write the moments of the vectors as an index of ``indexed`` components scores them."""
    dimension = scored_dimension(settings, indexed, vectors.dimension)
    normalized = vectors.info.normalized
    blocks = ((start, truncate(block, dimension, normalized)) for start, block in vectors.blocks())
    vector_moments(blocks).save(out / MOMENTS_FILE)


def save_faiss(index: Any, path: Path) -> None:
    """Write a FAISS index.

    Raises:
        DiskFull: FAISS could not write all of it.
    """
    import faiss

    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        path.unlink(missing_ok=True)
        raise DiskFull(
            "the index could not be written",
            where=str(path),
            found=str(error).strip().splitlines()[-1][-200:],
            remedy="free space and give the same command again; finished stages are kept",
        ) from error


def _check_ids(vectors: Vectors, corpus_digest: str) -> None:
    if vectors.info.corpus_digest != corpus_digest:
        raise MismatchError(
            "these vectors are of another corpus",
            where=str(vectors.folder),
            expected=f"corpus {corpus_digest}",
            found=f"corpus {vectors.info.corpus_digest}",
            remedy="encode this corpus",
        )
    require_sorted_unique(vectors.ids, str(vectors.folder / "ids.parquet"))
    if len(vectors.ids) != len(vectors):
        raise MismatchError(
            "ids and vectors differ in number",
            where=str(vectors.folder),
            expected=f"{len(vectors)} ids",
            found=f"{len(vectors.ids)} ids",
            remedy="delete the vectors artifact; the next run encodes anew",
        )
