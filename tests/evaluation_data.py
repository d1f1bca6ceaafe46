"""Small corpora and judgements for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path

from embedlib.contracts import CHUNKS, CHUNKS_FILE, CORPUS, QRELS, QUERIES, Corpus, content_hash, write_table
from embedlib.corpus.derive import write_withheld

DOCUMENTS = {
    "d1": "apple pie",
    "d2": "bread and butter",
    "d3": "cheese cake",
    "d4": "dumpling soup",
    "d5": "egg fried rice",
    "d6": "fig jam",
}


def write_corpus(folder: Path, texts=DOCUMENTS, groups=None, cut_from=None) -> Corpus:
    """A corpus artifact's folder; ``texts`` by doc_id, ``cut_from`` names the document of chunks."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = (
        {
            "doc_id": d,
            "title": "",
            "text": text,
            "source": "test",
            "group_id": (groups or {}).get(d, d),
            "content_hash": content_hash("", text),
            "metadata": "{}",
        }
        for d, text in sorted(texts.items())
    )
    write_table(folder / "corpus.parquet", rows, CORPUS)
    if cut_from:
        chunks = ({"doc_id": c, "document_id": d} for c, d in sorted(cut_from.items()))
        write_table(folder / CHUNKS_FILE, chunks, CHUNKS)
    return Corpus(folder)


def write_queries(folder: Path, queries, withheld=None) -> Path:
    """A queries artifact's folder; each query is (id, text, split, origin, label, {doc_id: relevance})."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("query_id", "text", "split", "origin", "label")
    write_table(folder / "queries.parquet", (dict(zip(names, q[:5], strict=True)) for q in queries), QUERIES)
    qrels = (
        {"query_id": q[0], "doc_id": d, "relevance": r, "split": q[2]}
        for q in queries
        for d, r in q[5].items()
    )
    write_table(folder / "qrels.parquet", qrels, QRELS)
    if withheld:
        write_withheld(folder, withheld)
    return folder
