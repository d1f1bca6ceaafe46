"""A BEIR folder as a judged set in memory, for guards; the pipeline itself ingests and splits."""

from __future__ import annotations

from pathlib import Path

from embedlib.contracts import document_text
from embedlib.corpus.beir import qrels_files, queries_file, read_beir
from embedlib.corpus.labels import read_qrels, read_queries
from embedlib.corpus.records import Rejected
from embedlib.errors import DataError
from embedlib.evaluation.dev import DevSet

MAX_BYTES = 4_000_000


def read_beir_set(folder: Path, split: str = "test") -> DevSet:
    """The documents and the judged queries of one split.

    Raises:
        DataError: The folder or a file is missing, a row is bad, a judgement names no document or
            query, or no judged query has a relevant document.
    """
    texts = _documents(folder)
    queries = read_queries(queries_file(folder), _refuse)
    files = qrels_files(folder)
    if split not in files:
        raise DataError(
            f"no judgements for split {split!r}",
            where=str(folder / "qrels"),
            expected=f"{split}.tsv",
            found=", ".join(sorted(files)) or "none",
        )
    judgements = read_qrels(files[split], _refuse)
    qrels: dict[str, dict[str, int]] = {}
    for j in judgements:
        for name, value, known in (("query", j.query_id, queries), ("document", j.doc_id, texts)):
            if value not in known:
                raise DataError(f"a judgement names no {name}: {value!r}", where=j.where)
        qrels.setdefault(j.query_id, {})[j.doc_id] = j.relevance
    found = DevSet.whole(folder.name, texts, {q: query.text for q, query in queries.items()}, qrels)
    if found is None:
        raise DataError("no judged query has a relevant document", where=str(files[split]))
    return found


def _documents(folder: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for item in read_beir(folder, max_bytes=MAX_BYTES):
        if isinstance(item, Rejected):
            _refuse(item)
            continue
        if item.doc_id in texts:
            raise DataError(f"duplicate document id {item.doc_id!r}", where=item.where)
        text = document_text(item.title, item.text)
        if text:
            texts[item.doc_id] = text
    return texts


def _refuse(rejected: Rejected) -> None:
    raise DataError(f"a row cannot be used: {rejected.reason}", where=rejected.where)
