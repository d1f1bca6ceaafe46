from __future__ import annotations

from pathlib import Path

import pytest

from embedlib.errors import ModelError
from embedlib.pairs.seq2seq import QuerySampling, QueryWriter, generated_pairs
from embedlib.progress import silent


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """A random T5 of two layers with the packaged model's vocabulary."""
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=102,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


DOCUMENTS = [(f"d{i}", f"document {i} about otters and rivers") for i in range(5)]
SAMPLING = QuerySampling(count=3, max_query_tokens=6, batch_size=2, seed=7)


def run(writer: QueryWriter, scratch: Path, sampling: QuerySampling = SAMPLING) -> list[tuple[str, str]]:
    return [(p.doc_id, p.query) for p in generated_pairs(DOCUMENTS, writer, sampling, scratch, silent)]


def test_every_document_gets_queries_and_the_seed_decides_them(tiny_t5: Path, tmp_path: Path) -> None:
    writer = QueryWriter(tiny_t5)
    first = run(writer, tmp_path / "a")
    assert {doc_id for doc_id, _ in first} == {f"d{i}" for i in range(5)}
    assert len(first) <= 15
    assert first == run(writer, tmp_path / "b")
    assert first != run(
        writer, tmp_path / "c", QuerySampling(count=3, max_query_tokens=6, batch_size=2, seed=8)
    )


def test_a_killed_run_does_not_write_finished_shards_again(
    tiny_t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedlib.pairs.seq2seq.SHARD", 2)
    writer = QueryWriter(tiny_t5)
    whole = run(writer, tmp_path / "whole")
    asked: list[str] = []
    write = writer.write

    def dying(texts, sampling, seed):
        asked.extend(texts)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return write(texts, sampling, seed)

    monkeypatch.setattr(writer, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        run(writer, tmp_path / "killed")
    seen: list[str] = []
    monkeypatch.setattr(writer, "write", lambda t, s, seed: (seen.extend(t), write(t, s, seed))[1])
    assert run(writer, tmp_path / "killed") == whole
    assert seen == [text for _, text in DOCUMENTS[2:]]


def test_a_model_that_is_no_seq2seq_model_is_refused(minilm: Path) -> None:
    with pytest.raises(ModelError, match="query generator cannot be loaded"):
        QueryWriter(minilm)
