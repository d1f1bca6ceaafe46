"""What people marked as right or wrong among search results, and where a workspace keeps it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedlib.corpus.clean import clean_title
from embedlib.corpus.labels import Judgement, LabelledQuery, Labels, Reject
from embedlib.corpus.records import Rejected
from embedlib.corpus.tabular import json_rows

logger = logging.getLogger(__name__)

#: In the workspace: one JSON object a line with ``query``, ``doc_id`` and ``relevance``, 1 right, 0 wrong.
MARKS = Path("feedback", "marks.jsonl")
#: In the workspace: a file of served queries a day, one JSON object a line.
SERVED_QUERIES = Path("feedback", "queries")
MAX_BYTES = 100_000


def add_marks(labels: Labels, path: Path, known: Callable[[str], object], reject: Reject) -> dict[str, int]:
    """Add marks to the training labels; the last mark of a query and a document counts.

    Marks never join test or dev queries that came with the labels, and documents that are no longer
    in the corpus are passed over: people marked what they saw then. So is a line that was cut when a
    server died over it: no hand has to mend a file that no hand wrote.

    ``known`` finds a document in the corpus, or returns None.

    Returns:
        How many marks are used, are of documents that are gone, or cannot be read.
    """
    last: dict[tuple[str, str], Judgement] = {}
    gone = torn = 0
    for where, row in json_rows(path, max_bytes=MAX_BYTES):
        if isinstance(row, Rejected):
            logger.warning("a line of marks is passed over: %s: %s", row.where, row.reason)
            torn += 1
            continue
        mark = _mark(row, where)
        if isinstance(mark, Rejected):
            reject(mark)
            continue
        text, judgement = mark
        if known(judgement.doc_id) is None:
            gone += 1
            continue
        labels.queries.setdefault(judgement.query_id, LabelledQuery(text))
        last[judgement.query_id, judgement.doc_id] = judgement
    if last:
        labels.judgements["train"] = [*labels.judgements.get("train", []), *last.values()]
    return {"used": len(last), "of_documents_that_are_gone": gone, "unreadable": torn}


def _mark(row: Any, where: str) -> tuple[str, Judgement] | Rejected:
    query, doc_id, relevance = (row.get(name) for name in ("query", "doc_id", "relevance"))
    if not isinstance(query, str) or not (text := clean_title(query)):
        return Rejected(where, "a mark without a query")
    if not isinstance(doc_id, str) or not doc_id:
        return Rejected(where, "a mark without a document")
    if isinstance(relevance, bool) or relevance not in (0, 1):
        return Rejected(where, f"a mark is 1 (right) or 0 (wrong), not {relevance!r}")
    return text, Judgement(f"mark:{text.casefold()}", doc_id, int(relevance), where)
