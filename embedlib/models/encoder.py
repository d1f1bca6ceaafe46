"""What every encoder offers, and the checks on what goes in and comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError, ModelError
from embedlib.progress import Progress, silent


class Encoder(Protocol):
    """Turns texts into vectors; prompts and normalisation belong to it."""

    @property
    def name(self) -> str:
        """What it was loaded as."""
        ...

    @property
    def dimension(self) -> int:
        """Components per vector."""
        ...

    @property
    def max_length(self) -> int | None:
        """Tokens it sees of a text; None if it has no limit."""
        ...

    def encode(self, texts: Sequence[str], *, prompt: str = "", progress: Progress = silent) -> Floats:
        """Vectors of ``texts``, float32 [n, dimension], each text preceded by ``prompt`` and nothing else."""
        ...

    def encode_queries(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of queries, with the model's query prompt."""
        ...

    def encode_documents(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of documents, with the model's document prompt."""
        ...


def check_texts(texts: Sequence[str], where: str) -> None:
    """Refuse what has no meaning as a vector.

    Raises:
        DataError: A text is not a string, or is empty; its index is named.
    """
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"text {index} is not a string",
                where=where,
                expected="a string",
                found=type(text).__name__,
                remedy="pass texts, not rows or numbers",
            )
        if not text.strip():
            raise DataError(
                f"text {index} is empty", where=where, expected="at least one character", found=repr(text)
            )


def check_vectors(vectors: Floats, texts: Sequence[str], where: str) -> None:
    """Refuse vectors that no search can use: NaN, infinite or of zero length.

    ``vectors`` are [n, d]; the error quotes the first of the ``texts`` that has a bad one.

    Raises:
        ModelError: Naming the index and the start of the text.
    """
    bad = unusable(vectors)
    if len(bad):
        index = int(bad[0])
        found = "NaN or infinite components" if vectors[index].any() else "a vector of length zero"
        raise ModelError(
            f"the model gave an unusable vector for text {index} ({len(bad)} of {len(vectors)} are unusable)",
            where=where,
            expected="finite components and a length above zero",
            found=f"{found} for {texts[index][:80]!r}",
            remedy="the weights are damaged or overflow in this precision: try fp32 or another checkpoint",
        )


def unusable(vectors: Floats) -> Rows:
    """Rows with NaN, infinite or only zero components, int64."""
    lengths = np.einsum("nd,nd->n", vectors, vectors)  # NaN and infinity survive the sum of squares
    return np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))


def unit_norm(vectors: Floats) -> Floats:
    """Each row divided by its Euclidean length, [n, d]; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.finfo(np.float32).tiny)  # type: ignore[no-any-return]


def truncate(vectors: Floats, dimension: int, normalized: bool) -> Floats:
    """The first ``dimension`` components [n, d] -> [n, dimension], at unit norm again when they were.

    Source: Matryoshka Representation Learning, arXiv 2205.13147, section 3.
    """
    cut = np.ascontiguousarray(vectors[:, :dimension], dtype=np.float32)
    return unit_norm(cut) if normalized and vectors.shape[1] > dimension else cut
