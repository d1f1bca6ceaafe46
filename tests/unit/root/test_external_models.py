"""The files of models that stages read outside the store are part of their fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from embedlib.config.data import DocstringsSource, Ingest
from embedlib.config.evaluation import Evaluate
from embedlib.config.pairs import Mine, Seq2Seq, Synthesize
from embedlib.config.reranking import Rerank
from embedlib.config.training import Distil, Train
from embedlib.stages import distil, evaluate, ingest, mine, reranker, synthesize, train


@pytest.mark.parametrize(
    ("stage", "options", "file"),
    [
        (mine.STAGE, lambda m: Mine(cross_encoder=m), "model.safetensors"),
        (mine.STAGE, lambda m: Mine(teacher="encoder", teacher_model=m), "model.safetensors"),
        (train.STAGE, lambda m: Train(guide=m), "model.safetensors"),
        (distil.STAGE, lambda m: Distil(student=m), "model.safetensors"),
        (reranker.STAGE, lambda m: Rerank(start=m), "model.safetensors"),
        (synthesize.STAGE, lambda m: Synthesize(seq2seq=Seq2Seq(model=m)), "model.safetensors"),
        (evaluate.STAGE, lambda m: Evaluate(rerank=m, guards=()), "model.safetensors"),
        (ingest.STAGE, lambda m: Ingest(source=_SOURCE, tokenizer=m), "tokenizer.json"),
    ],
    ids=["cross_encoder", "teacher_model", "guide", "student", "reranker", "seq2seq", "rerank", "tokenizer"],
)
def test_a_changed_model_is_another_recipe(
    stage, options, file: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    config = options(str(folder))
    before = stage.external(config)
    assert stage.external(config) == before
    (path,) = folder.rglob(file)
    path.write_bytes(path.read_bytes() + b" ")
    assert stage.external(config) != before


_SOURCE = DocstringsSource(packages=("json",))
