"""The BM25 index beside the vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from embedlib.errors import DataError, UserError
from embedlib.retrieval.bm25 import BM25Index, build_bm25

logger = logging.getLogger(__name__)

BM25_DIR = "bm25"


def write_bm25(texts: Iterable[str], folder: Path) -> bool:
    """Index the documents' words; false where the corpus has no words to index."""
    try:
        index = build_bm25(texts)
    except DataError as error:
        logger.warning("no BM25 index: %s", error)
        return False
    index.save(folder)
    return True


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
