"""Near-duplicates against brute force, and what the real collections become."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedlib.config.data import Ingest, Split
from embedlib.contracts import CORPUS, Corpus, content_hash, document_text, read_judgements, write_table
from embedlib.corpus import duplicates
from embedlib.corpus.duplicates import jaccard, near_duplicate_pairs, near_duplicates, shingles
from embedlib.corpus.leaks import LeakFilter
from embedlib.stages.base import run_stage
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.split import STAGE as SPLIT
from embedlib.store import Store


def _corpus(texts: list[str], folder: Path) -> Corpus:
    rows = (
        {
            "doc_id": f"{i:05d}",
            "title": "",
            "text": text,
            "source": "",
            "group_id": f"{i:05d}",
            "metadata": "{}",
        }
        | {"content_hash": content_hash("", text)}
        for i, text in enumerate(texts)
    )
    write_table(folder / "corpus.parquet", rows, CORPUS)
    return Corpus(folder)


@pytest.mark.parametrize("threshold", [0.8, 0.9])
def test_minhash_finds_what_comparing_all_pairs_finds(threshold: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(500)]
    texts = []
    for _ in range(60):
        base = rng.choice(words, 80).tolist()
        texts.append(" ".join(base))
        for changes in (1, 2, 3, 8):
            changed = list(base)
            for position in rng.choice(80, changes, replace=False):
                changed[position] = str(rng.choice(words))
            texts.append(" ".join(changed))
    sets = [shingles(text) for text in texts]
    exact = {
        (i, j): jaccard(sets[i], sets[j])
        for i, j in itertools.combinations(range(len(texts)), 2)
        if jaccard(sets[i], sets[j]) >= threshold
    }
    found = {(i, j): s for i, j, s in near_duplicate_pairs(_corpus(texts, tmp_path), threshold)}
    assert set(found) <= set(exact)
    assert found == {pair: exact[pair] for pair in found}
    assert len(exact) > 60
    assert len(found) >= 0.95 * len(exact)


def test_of_hundreds_alike_few_pairs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boilerplate = " ".join(f"word{i}" for i in range(60))
    corpus = _corpus([f"{boilerplate} item {i}" for i in range(200)], tmp_path)
    compared = []
    monkeypatch.setattr(duplicates, "jaccard", lambda a, b: compared.append(1) or jaccard(a, b))
    found = near_duplicates(corpus.path.parent, threshold=0.9, action="report", max_documents=1000)
    assert (found.documents, found.clusters) == (199, 1)
    assert len(compared) < 3 * 200


def test_jaccard_of_shingles_by_hand() -> None:
    a, b = shingles("one two three four"), shingles("Two three, four five")
    assert jaccard(a, b) == pytest.approx(1 / 3)
    assert jaccard(a, shingles("ONE two\nthree. four")) == 1.0
    assert jaccard(shingles("one two"), shingles("one two")) == 1.0
    assert jaccard(shingles("..."), shingles("...")) == 0.0


def _built(folder: Path, tmp_path: Path, **split: object) -> tuple[Path, Path]:
    store = Store(tmp_path / "workspace")
    corpus = run_stage(store, INGEST, Ingest(source={"type": "auto", "path": folder})).ref
    labels = {"type": "auto", "path": folder}
    return corpus.path, run_stage(store, SPLIT, Split(labels=labels, **split), corpus=corpus).ref.path


@pytest.mark.parametrize(
    ("name", "documents", "train", "dev", "test"),
    [
        ("cranfield", 1398, 0, 139, 225),
        ("nfcorpus", 3633, 2582, 324, 323),
        ("nl2bash", 10624, 8964, 1134, 1136),
    ],
)
def test_real_collections(
    name: str, documents: int, train: int, dev: int, test: int, shared_data: Path, tmp_path: Path
) -> None:
    corpus, queries = _built(shared_data / name, tmp_path)
    assert len(Corpus(corpus)) == documents
    splits = {split: read_judgements(queries, split) for split in ("train", "dev", "test")}
    assert [len(splits[s].qrels) for s in ("train", "dev", "test")] == [train, dev, test]
    held = list(splits["dev"].queries.values()) + list(splits["test"].queries.values())
    leaks = LeakFilter(held, 0.9)
    assert not [q for q in splits["train"].queries.values() if leaks.match(q) is not None]
    known = set(Corpus(corpus).ids)
    assert all(d in known for split in splits.values() for judged in split.qrels.values() for d in judged)


def test_a_real_corpus_keeps_what_an_encoder_sees(shared_data: Path, tmp_path: Path) -> None:
    import json

    corpus, _ = _built(shared_data / "nfcorpus", tmp_path)
    raw = [
        json.loads(line)
        for line in (shared_data / "nfcorpus" / "corpus.jsonl").read_text("utf-8").split("\n")[:-1]
    ]
    expected = {d["_id"]: " ".join(document_text(d["title"], d["text"]).split()) for d in raw}
    table = pq.read_table(corpus / "corpus.parquet")
    assert table.column("doc_id").to_pylist() == sorted(expected)
    found = dict(zip(Corpus(corpus).ids, Corpus(corpus).texts(), strict=True))
    different = [doc_id for doc_id, text in found.items() if " ".join(text.split()) != expected[doc_id]]
    assert len(different) <= len(expected) // 100
