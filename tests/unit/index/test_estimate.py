"""What encoding will take: measured on a sample, which is not encoded again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_encode import make_corpus
from typer.testing import CliRunner

from embedlib.cli.main import app
from embedlib.index.encode import Encoding, encode_shard, plan_shards
from embedlib.index.estimate import estimate_encoding
from embedlib.models.opening import ApiModel


@pytest.fixture
def documents() -> dict[str, str]:
    rng = np.random.default_rng(0)
    texts = {f"d{i:03d}": "word " * int(rng.integers(1, 60)) + str(i) for i in range(300)}
    return texts | {"twin": texts["d000"]}


def test_tokens_are_within_a_few_percent_of_what_encoding_then_counts(store, documents, tiny_model):
    corpus = make_corpus(store, documents)
    encoding = Encoding(tiny_model, "tiny", "fp32", "float16")
    found = estimate_encoding(store, corpus, encoding, sample=100)
    assert (found.documents, found.pending) == (301, 300)
    rest = plan_shards(store, corpus.path, encoding, shard_size=1000)
    assert [sum(b - a for a, b in spec.rows) for spec in rest] == [200]  # the sample's are there
    counted = encode_shard(store, rest[0]).ref.manifest.summary["tokens"]
    assert found.tokens == pytest.approx(counted * 1.5, rel=0.1)
    assert found.seconds == pytest.approx(found.pending / found.documents_per_s, rel=0.05, abs=0.1)
    assert found.vector_bytes == 301 * np.load(next(store.root.rglob("vectors.npy"))).shape[1] * 2


def test_where_every_document_has_a_vector_nothing_is_left_to_encode(store, documents, tiny_model):
    corpus = make_corpus(store, documents)
    encoding = Encoding(tiny_model, "tiny", "fp32", "float16")
    estimate_encoding(store, corpus, encoding, sample=300)
    found = estimate_encoding(store, corpus, encoding)
    assert (found.pending, found.tokens, found.seconds) == (0, 0, 0.0)


def test_an_api_is_sent_nothing_and_its_price_is_counted(store, documents, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    name = {"name": "openai:text-embedding-3-small", "dimension": None, "max_length": None}
    (tmp_path / ApiModel.FILE).write_text(json.dumps(name))
    corpus = make_corpus(store, documents)
    found = estimate_encoding(store, corpus, Encoding(tmp_path, "api", "fp32", "float32"))
    assert found.pending == 300
    assert found.tokens > sum(len(t.split()) for t in set(documents.values()))
    assert found.dollars == pytest.approx(found.tokens * 0.02 / 1e6, abs=1e-4)
    assert found.seconds is None


def test_the_command_says_it_in_sentences_and_as_json(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Pumps are serviced every year.")
    (tmp_path / "b.txt").write_text("Ferries leave at noon.")
    given = ["estimate", "--data", str(tmp_path), "--workspace", str(tmp_path / "w")]
    said = CliRunner().invoke(app, given)
    assert said.output.startswith("2 of 2 documents have no vector: "), said.output
    assert "on this machine, at" in said.output
    again = json.loads(CliRunner().invoke(app, [*given, "--json"]).output)
    assert (again["documents"], again["pending"]) == (2, 0)
