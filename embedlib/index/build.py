"""Build a FAISS index from blocks of vectors: create, train on a bounded sample, add."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import DataError, UserError, counted
from embedlib.index.choose import training_need
from embedlib.models.encoder import truncate
from embedlib.progress import Progress, silent
from embedlib.vectors import Vectors

#: float16 vectors of unit norm are off by up to 2**-11 a component.
NORM_TOLERANCE = 1e-2
#: Most vectors that an index is trained on.
TRAINED_ON = 200_000
#: Beam width while a graph is built; more than FAISS's 40, for recall that efSearch cannot add.
EF_CONSTRUCTION = 80


def create_index(factory: str, dimension: int) -> Any:
    """An empty FAISS index from a factory string, by inner product where the type can.

    Types without inner product (binary codes) are made for L2, which orders unit vectors the same.

    Raises:
        UserError: FAISS does not know the string, or it does not fit the dimension.
    """
    import faiss

    problem = ""
    for metric in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2):
        try:
            index = faiss.index_factory(dimension, factory, metric)
        except RuntimeError as error:
            problem = problem or str(error).strip().splitlines()[-1].rpartition(": ")[2][-80:]
            continue
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = EF_CONSTRUCTION
        return index
    raise UserError(
        f"FAISS cannot make an index {factory!r} of {dimension} components",
        where="index.factory",
        expected="auto, binary, or a FAISS factory string such as HNSW32 or IVF1024,Flat",
        found=problem,
        remedy="see the FAISS wiki, 'The index factory'; product codes must divide the dimension",
    )


def build_index(
    factory: str,
    vectors: Vectors,
    dimension: int,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> Any:
    """Train on a sample and add all vectors, a block in memory at a time.

    Args:
        factory: FAISS factory string.
        vectors: What is indexed; row i becomes id i.
        dimension: Components that are indexed (the first ones).
        rng: Chooses the training sample.
        progress: Progress callback: vectors added.

    Raises:
        UserError: The factory string is wrong, or there are too few vectors to train it.
        DataError: A vector is zero, not finite, or of another norm than declared.
    """
    normalized = vectors.info.normalized
    index = create_index(factory, dimension)
    if not index.is_trained:
        size = min(TRAINED_ON, training_need(factory, len(vectors)), len(vectors))
        sample = vectors.take(np.sort(rng.choice(len(vectors), size=size, replace=False)))
        _train(index, factory, truncate(sample, dimension, normalized))
    for start, block in checked_blocks(vectors):
        index.add(truncate(block, dimension, normalized))
        progress(start + len(block), len(vectors), "index")
    return index


def checked_blocks(vectors: Vectors) -> Iterator[tuple[int, Floats]]:
    """The vectors in blocks, each checked for dimension, finiteness and norm.

    Raises:
        DataError: Naming the first offending document.
    """
    for start, block in vectors.blocks():
        if block.ndim != 2 or block.shape[1] != vectors.dimension:
            raise DataError(
                "a shard has another dimension than vectors.json",
                where=str(vectors.folder),
                expected=str(vectors.dimension),
                found=str(list(block.shape[1:])),
                remedy="delete the vectors artifact; the next run encodes anew",
            )
        check_norms(block, start, vectors)
        yield start, block


def check_norms(block: Floats, start: int, vectors: Vectors) -> None:
    """Refuse zero and non-finite vectors, and ones that are not of unit norm though declared so.

    Raises:
        DataError: Naming the first offending document.
    """
    norms = np.linalg.norm(block, axis=1)
    bad = ~np.isfinite(norms) | (norms == 0)
    if vectors.info.normalized:
        bad |= np.abs(norms - 1) > NORM_TOLERANCE
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"the vector of document {vectors.ids[start + first]!r} has norm {norms[first]:g}",
            where=f"{vectors.folder}, row {start + first}",
            expected="norm 1" if vectors.info.normalized else "a finite norm above 0",
            found=f"{norms[first]:g}; {counted(int(bad.sum()), 'such vector')} in this block",
            remedy="encode the corpus again; check the model's weights and precision",
        )


def _train(index: Any, factory: str, sample: Floats) -> None:
    try:
        index.train(sample)
    except RuntimeError as error:
        raise UserError(
            f"too few vectors to train {factory!r}",
            where="index.factory",
            found=f"{len(sample)} vectors; {str(error).strip().splitlines()[-1][-160:]}",
            remedy="use auto, Flat, or a type with fewer lists and codes",
        ) from error
