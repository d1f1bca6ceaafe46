"""Documents that say the same as a relevant one under another id."""

from __future__ import annotations

from embedlib.contracts import Corpus
from embedlib.evaluation.judged import JudgedSet


def content_duplicates(judged: JudgedSet, corpus: Corpus) -> dict[str, list[str]]:
    """doc_ids of the rows that belong to each relevant document or repeat its content.

    A relevant id stands for its own row and, where it is a group's, for all its chunks. Whoever
    trains on one of these rows trains on the test's answer.

    Args:
        judged: The queries.
        corpus: The corpus artifact.

    Returns:
        For each relevant id (as the judgements name it) the rows' doc_ids, itself included.
    """
    relevant = {d for documents in judged.qrels.values() for d, r in documents.items() if r > 0}
    hashes = corpus.column("content_hash")
    own: dict[str, set[str]] = {}
    for label, content in zip(judged.labels, hashes, strict=True):
        if label in relevant:
            own.setdefault(label, set()).add(content)
    wanted = {content for contents in own.values() for content in contents}
    by_content: dict[str, list[str]] = {}
    for doc_id, content in zip(corpus.ids, hashes, strict=True):
        if content in wanted:
            by_content.setdefault(content, []).append(doc_id)
    return {label: sorted({d for c in contents for d in by_content[c]}) for label, contents in own.items()}
