"""What ``index.json`` holds, and how an index file is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from embedlib.errors import CorruptArtifact

INDEX_SCHEMA = 2
INDEX_FILE = "index.faiss"
INFO_FILE = "index.json"
IDS_FILE = "ids.parquet"
MOMENTS_FILE = "moments.npz"


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


class IndexInfo(BaseModel):
    """What ``index.json`` holds."""

    model_config = ConfigDict(frozen=True)
    schema_version: int = INDEX_SCHEMA
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


def read_info(folder: Path) -> IndexInfo:
    """Read ``index.json``.

    Raises:
        CorruptArtifact: It is missing, damaged, or of another schema version.
    """
    path = folder / INFO_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["schema_version"] != INDEX_SCHEMA:
            raise CorruptArtifact(
                "index of another schema version",
                where=str(path),
                expected=str(INDEX_SCHEMA),
                found=str(raw["schema_version"]),
                remedy="build the index anew",
            )
        return IndexInfo.model_validate(raw)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            "index.json is missing or damaged",
            where=str(path),
            found=str(error).splitlines()[0],
            remedy="`embedlib rollback`; a run builds the index anew",
        ) from error


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
