"""nfcorpus has dozens of relevant documents a query: none of them may be mined, planted copies neither."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from embedlib.contracts import content_hash
from embedlib.mining.known_positives import KnownPositives, text_classes
from embedlib.mining.miner import Sources, mine
from embedlib.mining.options import Rules, Thresholds
from embedlib.retrieval.tokens import words


def hashed(texts: list[str]) -> np.ndarray:
    """Bags of words in 128 random directions at unit length: no model, but real neighbours."""
    directions: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(0)
    out = np.zeros((len(texts), 128), np.float32)
    for i, text in enumerate(texts):
        for word in set(words(text)):
            if word not in directions:
                directions[word] = rng.standard_normal(128).astype(np.float32)
            out[i] += directions[word]
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)


def test_no_judged_document_and_no_planted_copy_is_mined(shared_data: Path) -> None:
    folder = shared_data / "nfcorpus"
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    texts = {
        q["_id"]: q["text"] for q in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())
    }
    relevant: dict[str, dict[str, set[str]]] = {}
    for split in ("train", "dev", "test"):
        for line in csv.DictReader(
            (folder / "qrels" / f"{split}.tsv").read_text().splitlines(), delimiter="\t"
        ):
            relevant.setdefault(line["query-id"], {}).setdefault(split, set()).add(line["corpus-id"])
    asked = sorted(q for q, by_split in relevant.items() if "train" in by_split)[:300]
    by_id = {row["_id"]: row for row in rows}
    planted = {by_id[d]["_id"] for q in asked[:20] for d in sorted(relevant[q]["train"])[:3]}
    rows += [by_id[d] | {"_id": f"copy-of-{d}"} for d in sorted(planted)]
    ids = [row["_id"] for row in rows]
    row_of = {doc_id: i for i, doc_id in enumerate(ids)}

    known = KnownPositives()
    for query, by_split in relevant.items():
        for documents in by_split.values():
            known.add(texts[query], [row_of[d] for d in documents if d in row_of])
    vectors = hashed([f"{row['title']} {row['text']}" for row in rows])
    sources = Sources(
        lambda: [(0, vectors)],
        lambda wanted: vectors[wanted],
        text_classes([content_hash(row["title"], row["text"]) for row in rows]),
    )
    queries = [texts[q] for q in asked]
    mined = mine(
        queries, hashed(queries), known.of(queries), sources, Rules(("dense",), 200, 1.0, Thresholds())
    )

    assert mined.keep.sum() > 10_000
    assert sum(mined.removed["judged_relevant"].values()) > 500
    assert sum(mined.removed["same_text"].values()) > 0
    for at, query in enumerate(asked):
        negatives = {ids[row] for row in mined.candidates.rows[at][mined.keep[at]]}
        judged = set().union(*relevant[query].values())
        assert not negatives & judged
        assert not negatives & {f"copy-of-{d}" for d in judged}
