"""A training pair before it is filtered and mixed."""

from __future__ import annotations

from typing import NamedTuple

#: Origins of the label-free mix when nothing else is asked for. Adjacent passages and passages of
#: the same document make poor queries; keyword bags were measured to do harm (cranfield -8 points).
LABEL_FREE = ("title", "heading", "sentence", "crop")


class CandidatePair(NamedTuple):
    """A query and the document that answers it.

    Args:
        query_id: Unique among the pairs of one query text: several positives share it.
        query: The query text.
        doc_id: The positive document.
        origin: Where the pair comes from.
        score: Relevance of a label; 1 for pairs that were made.
    """

    query_id: str
    query: str
    doc_id: str
    origin: str
    score: float = 1.0
