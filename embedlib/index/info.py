"""What ``index.json`` holds, and how the files of an index are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from embedlib.errors import CorruptArtifact, UserError
from embedlib.json_file import JsonFile
from embedlib.retrieval.bm25 import BM25Index

INDEX_FILE = "index.faiss"
IDS_FILE = "ids.parquet"
MOMENTS_FILE = "moments.npz"
BM25_DIR = "bm25"


class SearchSettings(BaseModel):
    """How an index is searched.

    ``parameter`` is the FAISS search parameter that trades speed for recall (``nprobe``,
    ``efSearch``) and ``value`` its setting; ``rescore`` is how many times k candidates are scored
    again with the stored vectors, 0 for none.
    """

    model_config = ConfigDict(frozen=True)
    parameter: Literal["nprobe", "efSearch"] | None = None
    value: int | None = None
    rescore: int = 0


class Point(BaseModel):
    """One measured setting of the curve."""

    model_config = ConfigDict(frozen=True)
    settings: SearchSettings
    recall: float


class Recall(BaseModel):
    """Measured recall@k against exact search over the full vectors, and the queries it was measured with."""

    model_config = ConfigDict(frozen=True)
    k: int
    value: float
    target: float
    queries: int
    source: str


class IndexInfo(JsonFile):
    """What an index is, how it is searched, and what was measured."""

    FILE: ClassVar[str] = "index.json"
    schema_version: Literal[2] = 2
    requested: str
    factory: str
    reason: str
    metric: Literal["inner_product", "l2"]
    count: int
    dimension: int
    vector_dimension: int
    normalized: bool
    model_digest: str
    corpus_digest: str
    settings: SearchSettings
    recall: Recall
    curve: list[Point]


def open_index(path: Path) -> Any:
    """Open a FAISS index, memory-mapped where its type allows it.

    Raises:
        CorruptArtifact: It is missing, truncated, or no FAISS index.
    """
    import faiss

    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise CorruptArtifact(
            "the index file cannot be read",
            where=str(path),
            found=str(error).strip().splitlines()[-1][-200:],
            remedy="`embedlib rollback`; a run builds the index anew",
        ) from error


def open_bm25(index_folder: Path) -> BM25Index:
    """Open the BM25 index of an index artifact.

    Raises:
        UserError: The index was built without one.
    """
    folder = index_folder / BM25_DIR
    if not folder.is_dir():
        raise UserError(
            "this release has no BM25 index",
            where=str(index_folder),
            remedy="search with mode dense, or build the index with index.bm25 on",
        )
    return BM25Index.load(folder)
