"""Search by a sparse encoder's term weights: the third ranking of the fusion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import CorruptArtifact, MismatchError, UserError
from embedlib.json_file import JsonFile
from embedlib.models.sparse import SparseTexts, load_sparse_encoder

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: The folder of an index artifact that holds the files of ``save``.
SPARSE_DIR = "sparse"
MATRIX_FILE = "matrix.npz"
_encoder = lru_cache(maxsize=2)(load_sparse_encoder)


class SparseInfo(JsonFile):
    """Which model made the term weights; its files are looked for where they were found then."""

    FILE: ClassVar[str] = "sparse.json"
    model: str
    model_digest: str
    documents: int
    terms: int


class SparseIndex:
    """Term weights of the corpus, searched like BM25's.

    The matrix is float32 [n, terms], a row a document; the encoder made it, and makes the queries'.
    """

    def __init__(self, matrix: csr_matrix, encoder: SparseTexts) -> None:
        self.matrix, self.encoder = matrix, encoder

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    @cached_property
    def _postings(self) -> csr_matrix:
        """float32 [terms, n]: a query reads the rows of its own terms alone."""
        return self.matrix.T.tocsr()

    def scores_of(self, queries: Sequence[str]) -> Iterator[Floats]:
        """Inner product of each query with every document, float32 [n] each."""
        for terms in self.encoder.encode_queries(queries):
            yield (terms @ self._postings).toarray().ravel()

    def with_texts(self, texts: Mapping[int, str]) -> SparseIndex:
        """The same with other texts in some rows."""
        from scipy.sparse import csr_matrix, diags

        if not texts:
            return self
        rows, n = np.array(list(texts)), len(self)
        kept = np.ones(n, dtype=np.float32)
        kept[rows] = 0
        ones, order = np.ones(len(rows), dtype=np.float32), np.arange(len(rows))
        places = csr_matrix((ones, (rows, order)), shape=(n, len(rows)))
        new = places @ self.encoder.encode_documents(list(texts.values()))
        return SparseIndex((diags(kept) @ self.matrix + new).tocsr().astype(np.float32), self.encoder)

    def save(self, folder: Path) -> SparseInfo:
        """Write the matrix as scipy writes it, and which model made it."""
        from scipy.sparse import save_npz

        folder.mkdir(parents=True, exist_ok=True)
        save_npz(folder / MATRIX_FILE, self.matrix)
        documents, terms = self.matrix.shape
        model = {"model": self.encoder.name, "model_digest": self.encoder.digest}
        info = SparseInfo(**model, documents=documents, terms=terms)
        info.write(folder)
        return info

    @classmethod
    def load(cls, folder: Path) -> SparseIndex:
        """Read what ``save`` wrote, and the model.

        Raises:
            CorruptArtifact: A file is missing or damaged.
            MismatchError: The model's files are others now.
            ModelError: The model is not there.
        """
        info = SparseInfo.read(folder)
        encoder = _encoder(info.model)
        if encoder.digest != info.model_digest:
            raise MismatchError(
                "the sparse encoder is not the one that made the index",
                where=info.model,
                expected=f"model {info.model_digest}",
                found=f"model {encoder.digest}",
                remedy="put its files back, or `embedlib refresh` to encode with these",
            )
        return cls(read_matrix(folder, info), encoder)


def read_matrix(folder: Path, info: SparseInfo) -> csr_matrix:
    """The term weights in a folder.

    Raises:
        CorruptArtifact: They are missing, damaged, or not of that shape.
    """
    from scipy.sparse import load_npz

    problem = "another shape"
    try:
        matrix = load_npz(folder / MATRIX_FILE).tocsr()
        if matrix.shape == (info.documents, info.terms):
            return matrix
    except Exception as error:  # noqa: BLE001 - a damaged archive raises whatever its reader does
        problem = str(error)
    raise CorruptArtifact(
        "the sparse vectors cannot be read",
        where=str(folder / MATRIX_FILE),
        expected=f"a sparse matrix [{info.documents}, {info.terms}]",
        found=problem,
        remedy="`embedlib rollback`; a run builds the index anew",
    )


def open_sparse(index_folder: Path) -> SparseIndex:
    """The sparse vectors of an index artifact.

    Raises:
        UserError: The index was built without any.
    """
    folder = index_folder / SPARSE_DIR
    if not folder.is_dir():
        raise UserError(
            "this release has no sparse vectors",
            where=str(index_folder),
            remedy="search without sparse_weight, or name a sparse encoder in sparse.model and run again",
        )
    return SparseIndex.load(folder)
