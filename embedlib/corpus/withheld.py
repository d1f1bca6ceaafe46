"""Texts from which a derived query has been taken out, so that a derived test is honest.

A query made from a document (its title, a heading, its first sentence) stands word for word in
that document; scored against the document as it is, it measures string matching. Whoever scores
dev or test queries puts these texts in the place of the same documents' own. The live index keeps
the documents whole: a title helps real searches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from embedlib.contracts import read_rows, write_table

WITHHELD = pa.schema([("doc_id", pa.string()), ("text", pa.string())])
FILE = "withheld.parquet"


def write_withheld(folder: Path, texts: Mapping[str, str]) -> int:
    """Write doc_id and the text to score instead, sorted by doc_id; returns the number of documents."""
    rows = ({"doc_id": doc_id, "text": texts[doc_id]} for doc_id in sorted(texts))
    return write_table(folder / FILE, rows, WITHHELD)


def read_withheld(queries_folder: Path) -> dict[str, str]:
    """What to encode, in evaluation, of each document that a derived query was taken from.

    Args:
        queries_folder: Folder of a queries artifact.

    Returns:
        doc_id → the whole text to encode or index (title included where it is not the query);
        empty when every query was written by people.
    """
    path = queries_folder / FILE
    if not path.is_file():
        return {}
    return {row["doc_id"]: row["text"] for row in read_rows(path)}
