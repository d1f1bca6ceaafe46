"""The hybrid of BM25 and the base model as a teacher: stored beside the examples, scores any pair.

Folder ``teacher/`` of an examples artifact, plain NumPy files (q queries, m documents that occur in
the examples, v BM25 terms, d components):

    query_of_example.npy   int64 [examples], the query of each row of examples.parquet
    query_vectors.npy      float32 [q, d];  query_moments.npy  float32 [q, 4]
    doc_rows.npy           int64 [m], ascending corpus rows;  doc_vectors.npy  [m, d], float16 if exact
    {query,doc}_terms_{data,indices,indptr}.npy   sparse [q, v] term counts, [m, v] BM25 weights
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError
from embedlib.retrieval.fusion import fused_scores
from embedlib.retrieval.moments import Moments
from embedlib.retrieval.plan import DEFAULT_WEIGHT

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class TeacherQueries(NamedTuple):
    """What the teacher needs of its q queries.

    Args:
        vectors: float32 [q, d], by the base model.
        terms: sparse float32 [q, v], how often each term stands in the query.
        moments: float32 [q, 4]: mean and deviation over the corpus of dense, then of BM25 scores.
    """

    vectors: Floats
    terms: csr_matrix
    moments: Floats


class TeacherDocuments(NamedTuple):
    """What the teacher needs of its m documents.

    Args:
        rows: int64 [m], ascending corpus rows.
        vectors: float32 [m, d], by the base model.
        terms: sparse float32 [m, v], the BM25 weight of each term.
    """

    rows: Rows
    vectors: Floats
    terms: csr_matrix


class HybridTeacher:
    """z(dense) + DEFAULT_WEIGHT * z(BM25), as search ranks (``embedlib.retrieval.fusion``).

    Args:
        query_of_example: int64 [examples].
        queries: Its queries.
        documents: Its documents.
    """

    def __init__(self, query_of_example: Rows, queries: TeacherQueries, documents: TeacherDocuments) -> None:
        self.query_of_example, self.queries, self.documents = query_of_example, queries, documents

    def scores(self, query_rows: Rows, doc_rows: Rows) -> Floats:
        """Score every query of a batch against every document of it.

        Args:
            query_rows: int64 [b], rows of ``examples.parquet``.
            doc_rows: int64 [m], corpus rows of documents that occur in the examples.

        Returns:
            float32 [b, m], higher is more relevant.

        Raises:
            DataError: A document does not occur in the examples.
        """
        q = self.query_of_example[np.asarray(query_rows)]
        d = self._positions(np.asarray(doc_rows))
        dense = self.queries.vectors[q].astype(np.float32) @ self.documents.vectors[d].astype(np.float32).T
        lexical = (self.queries.terms[q] @ self.documents.terms[d].T).toarray()
        return self._fused(q, dense, lexical)

    def pair_scores(self, query_rows: Rows, doc_rows: Rows) -> Floats:
        """Score each query of a batch against its own documents only.

        Args:
            query_rows: int64 [b], rows of ``examples.parquet``.
            doc_rows: int64 [b, c], corpus rows of documents that occur in the examples.

        Returns:
            float32 [b, c], the same numbers as ``scores`` gives.
        """
        q = self.query_of_example[np.asarray(query_rows)]
        d = self._positions(np.asarray(doc_rows).ravel())
        each = np.repeat(np.arange(len(q)), doc_rows.shape[1])
        documents = self.documents.vectors[d].astype(np.float32)
        dense = np.einsum("nd,nd->n", self.queries.vectors[q].astype(np.float32)[each], documents)
        lexical = self.queries.terms[q[each]].multiply(self.documents.terms[d]).sum(axis=1)
        shape = doc_rows.shape
        return self._fused(q, dense.reshape(shape), np.asarray(lexical, dtype=np.float32).reshape(shape))

    def _fused(self, q: Rows, dense: Floats, lexical: Floats) -> Floats:
        mean, std, bm25_mean, bm25_std = self.queries.moments[q].T
        moments = Moments(mean, std), Moments(bm25_mean, bm25_std)
        return fused_scores(dense, lexical, *moments, DEFAULT_WEIGHT)

    def targets(self, query_rows: Rows, doc_rows: Rows) -> Floats:
        """Scores in the unit of the model's own similarities, which a student of the same scale learns.

        A query's scores times the deviation of its dense scores: up to a constant, each document's
        similarity with a lexical correction. At the student's temperature these are soft answers,
        near to its own, where standardised scores would leave all probability to one document.

        Args:
            query_rows: int64 [b], rows of ``examples.parquet``.
            doc_rows: int64 [m], corpus rows of documents that occur in the examples.

        Returns:
            float32 [b, m].
        """
        deviation: Floats = self.queries.moments[self.query_of_example[np.asarray(query_rows)], 1]
        return self.scores(query_rows, doc_rows) * deviation[:, None]

    def save(self, folder: Path) -> None:
        """Write the folder described above."""
        folder.mkdir(parents=True)
        arrays: dict[str, Any] = {
            "query_of_example": self.query_of_example.astype(np.int64),
            "query_vectors": self.queries.vectors.astype(np.float32),
            "query_moments": self.queries.moments.astype(np.float32),
            "doc_rows": self.documents.rows.astype(np.int64),
            "doc_vectors": _compact(self.documents.vectors),
        }
        for name, matrix in (("query_terms", self.queries.terms), ("doc_terms", self.documents.terms)):
            arrays |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
            arrays[f"{name}_shape"] = np.array(matrix.shape, dtype=np.int64)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> HybridTeacher:
        """Read what ``save`` wrote; arrays stay on disk and are mapped.

        Raises:
            DataError: A file is missing or damaged.
        """
        try:
            queries = TeacherQueries(
                _read(folder, "query_vectors"),
                _read_sparse(folder, "query_terms"),
                _read(folder, "query_moments"),
            )
            documents = TeacherDocuments(
                _read(folder, "doc_rows"), _read(folder, "doc_vectors"), _read_sparse(folder, "doc_terms")
            )
            return cls(_read(folder, "query_of_example"), queries, documents)
        except (OSError, ValueError) as error:
            raise DataError(
                "the teacher's files are missing or damaged",
                where=str(folder),
                found=str(error),
                remedy="mine the examples anew",
            ) from error

    def _positions(self, doc_rows: Rows) -> Rows:
        rows = self.documents.rows
        at = np.minimum(np.searchsorted(rows, doc_rows), len(rows) - 1)
        missing = np.flatnonzero(rows[at] != doc_rows)
        if len(missing):
            raise DataError(
                f"the teacher does not know the document at corpus row {int(doc_rows[missing[0]])}",
                expected="a document that occurs in the examples",
                remedy="train with the examples that the teacher was stored with",
            )
        return at.astype(np.int64)


def term_counts(queries: Sequence[Sequence[int]], terms: int) -> csr_matrix:
    """Term numbers of each query as a sparse matrix of counts, float32 [q, terms]."""
    from scipy.sparse import csr_matrix

    indptr = np.concatenate([[0], np.cumsum([len(q) for q in queries])]).astype(np.int64)
    indices = np.array([t for q in queries for t in q], dtype=np.int32)
    counts = csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(queries), terms))
    counts.sum_duplicates()
    return counts


def _compact(vectors: Floats) -> Any:
    """Vectors that were float16 in the store are float16 again; others keep their digits."""
    half = vectors.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), vectors) else vectors


def _read(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _read_sparse(folder: Path, name: str) -> csr_matrix:
    from scipy.sparse import csr_matrix

    parts = tuple(np.asarray(_read(folder, f"{name}_{part}")) for part in ("data", "indices", "indptr"))
    return csr_matrix(parts, shape=tuple(_read(folder, f"{name}_shape").tolist()))
