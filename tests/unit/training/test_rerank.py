"""A reranker trained in this process from a tiny encoder: what it learns, resuming, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from embedlib.contracts import EXAMPLES, read_rows, write_table
from embedlib.errors import DataError, ModelError
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.training import rerank, trainer
from embedlib.training.options import TrainingJob
from embedlib.training.trainer import latest_sound

FAST = {
    "start": None, "epochs": 12.0, "max_tokens": None, "batch_size": 16, "negatives": 2,
    "max_length": 32, "learning_rate": 3e-3, "precision": "fp32",
}  # fmt: skip


@pytest.fixture
def job(tmp_path, collection, tiny_model):
    """``job(name, **options)``: a job with folders of its own; ``examples`` and ``model`` can be others."""

    def make(
        name: str = "a", model: Path = tiny_model, examples: Path | None = None, **options
    ) -> TrainingJob:
        scratch = tmp_path / name / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        inputs = {k: str(v) for k, v in collection.items()}
        if examples is not None:
            inputs["examples"] = str(examples)
        out = str(tmp_path / name / "out")
        return TrainingJob("rerank", str(model), out, str(scratch), 3, inputs, {**FAST, **options})

    return make


def examples_like(collection, folder: Path, **changes) -> Path:
    """The collection's examples with some columns changed."""
    folder.mkdir()
    rows = [row | changes for row in read_rows(collection["examples"] / "examples.parquet")]
    write_table(folder / "examples.parquet", rows, EXAMPLES)
    return folder


def pairs_of(collection, count: int = 40):
    """(query, positive) and (query, negative) of some examples."""
    rows = list(read_rows(collection["examples"] / "examples.parquet"))[:count]
    texts = {r["doc_id"]: r["text"] for r in read_rows(collection["corpus"] / "corpus.parquet")}
    good = [(r["query"], texts[r["positive_id"]]) for r in rows]
    return good, [(r["query"], texts[r["negative_ids"][0]]) for r in rows]


def weights(folder: str) -> bytes:
    return (Path(folder) / "model.safetensors").read_bytes()


def test_from_an_encoder_it_learns_the_positive_of_each_list_and_loads_as_a_cross_encoder(
    job, collection
) -> None:
    # the toy encoder is random: labels alone (no teacher folder, and its scores taken away) have to teach it
    plain = examples_like(
        collection, Path(job().scratch) / "plain", teacher_positive=None, teacher_scores=None
    )
    summary = rerank.train_reranker(job(examples=plain, epochs=60.0))
    assert summary["lists"] == 96
    score = load_cross_encoder(job().out)
    good, bad = (score(pairs) for pairs in pairs_of(collection))
    assert (good > bad).mean() > 0.8
    provenance = json.loads((Path(job().out) / "provenance.json").read_text())
    assert provenance["options"]["negatives"] == 2


def test_teacher_scores_are_the_labels_where_there_are_any(job, collection) -> None:
    lists = rerank.read_lists(job().inputs, negatives=2)
    labels = rerank.ListCollator(lists)([{"index": 0}])["label"]
    assert labels[0].tolist() == [2.0, 1.0, 0.5]


def test_without_a_teacher_the_positive_is_certain(job, collection, tmp_path) -> None:
    plain = examples_like(collection, tmp_path / "plain", teacher_positive=None, teacher_scores=None)
    lists = rerank.read_lists(job(examples=plain).inputs, negatives=1)
    batch = rerank.ListCollator(lists)([{"index": 5}])
    assert batch["label"][0].tolist() == [rerank.CERTAIN, 0.0]
    assert batch["documents"][0][0] == lists.documents[lists.positives[5]]


class Stop(Exception):
    """Stands for kill -9: nothing after it runs."""


def test_an_interrupted_run_resumes_to_the_same_bytes(job, monkeypatch) -> None:
    rerank.train_reranker(job("whole", epochs=1.0))
    broken = dataclasses.replace(job("broken", epochs=1.0), checkpoint_s=0.0)
    plain = trainer.RerankerTrainer.compute_loss

    def stopping(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise Stop
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(trainer.RerankerTrainer, "compute_loss", stopping)
    with pytest.raises(Stop):
        rerank.train_reranker(broken)
    monkeypatch.undo()
    assert latest_sound(Path(broken.scratch)) is not None
    rerank.train_reranker(broken)
    assert weights(broken.out) == weights(job("whole").out)


def test_a_step_in_two_passes_gives_the_weights_of_one_pass(job, monkeypatch) -> None:
    rerank.train_reranker(job("one", epochs=0.2))
    plain = rerank.plan_steps
    monkeypatch.setattr(rerank, "plan_steps", lambda *a, **k: (plain(*a, **k)[0], 8, 2))
    rerank.train_reranker(job("two", epochs=0.2))
    one, two = (load_cross_encoder(job(name).out)([("where is apple", "apple")]) for name in ("one", "two"))
    assert one == pytest.approx(two, abs=2e-2)


def test_tokens_bound_the_steps(job) -> None:
    whole = rerank.train_reranker(job("whole", epochs=1.0))
    half = rerank.train_reranker(job("half", epochs=1.0, max_tokens=whole["tokens"] // 2))
    assert half["steps"] == whole["steps"] // 2


def test_lists_with_one_candidate_are_refused(job, collection, tmp_path) -> None:
    alone = examples_like(
        collection, tmp_path / "alone", negative_ids=[], origins=[], scores=[], teacher_scores=[]
    )
    with pytest.raises(DataError, match="one candidate each") as error:
        rerank.train_reranker(job(examples=alone))
    assert "0 of 96" in error.value.found


def _other_tokenizer(folder: Path, **changes) -> None:
    """Another model's tokenizer, or the same with something taken away."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if "tokens" in changes:
        tokenizer.add_tokens([f"new{i}" for i in range(changes["tokens"])])
    if "pad" in changes:
        tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(("change", "found"), [({"tokens": 3}, "embeddings of"), ({"pad": None}, "padding")])
def test_a_tokenizer_that_is_not_the_models_own_is_refused(job, tiny_model, tmp_path, change, found) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    _other_tokenizer(folder, **change)
    with pytest.raises(ModelError, match="tokenizer is not fit") as error:
        rerank.new_reranker(folder, 32, "cpu")
    assert found in error.value.found


def test_a_tokenizer_that_puts_nothing_between_two_texts_is_refused(tiny_model) -> None:
    model = rerank.new_reranker(tiny_model, 32, "cpu")

    class Bare:
        pad_token_id = 0

        def __call__(self, *texts):
            return {"input_ids": [1] * len(texts)}

        def __len__(self):
            return 5

    stand_in = type("Model", (), {"tokenizer": Bare(), "transformers_model": model.transformers_model})()
    with pytest.raises(ModelError, match="tokenizer is not fit") as error:
        rerank.require_pair_tokenizer(stand_in, "here")
    assert "nothing between" in error.value.found


def test_a_model_without_layers_is_no_start(tmp_path, minilm) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import AutoTokenizer

    table = StaticEmbedding(AutoTokenizer.from_pretrained(minilm), embedding_dim=8)
    SentenceTransformer(modules=[table], device="cpu").save(str(tmp_path / "static"))
    with pytest.raises(ModelError, match="no reranker can be made"):
        rerank.new_reranker(tmp_path / "static", 32, "cpu")


def test_from_a_cross_encoder_its_own_head_is_kept(job, tiny_model, tmp_path) -> None:
    first = rerank.new_reranker(tiny_model, 32, "cpu")
    first.save_pretrained(tmp_path / "first", create_model_card=False)
    again = rerank.new_reranker(tmp_path / "first", 32, "cpu")
    head = [m.transformers_model.classifier.weight for m in (first, again)]
    assert torch.equal(*head)
    assert np.isfinite(load_cross_encoder(tmp_path / "first")([("a", "b")])).all()
