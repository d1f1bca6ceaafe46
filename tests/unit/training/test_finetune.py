"""Fine-tuning in this process, on a tiny model: every loss, resuming, and what can go wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from embedlib.contracts import EXAMPLES, QUERIES, read_rows, write_table
from embedlib.errors import ConfigError, DataError, DiskFull, NonFiniteLoss
from embedlib.models.local import load_encoder
from embedlib.training import finetune, plan, trainer
from embedlib.training.child import run_job
from embedlib.training.losses import LOSSES
from embedlib.training.options import TrainingJob
from embedlib.training.trainer import latest_sound, step_of

FAST = {
    "batch_size": 16,
    "learning_rate": 1e-3,
    "evaluations": 1,
    "dev_documents": 60,
    "max_steps": 2,
    "precision": "fp32",
}


@pytest.fixture
def job(tmp_path, collection, tiny_model):
    """``job(name, **options)``: a job with folders of its own."""

    def make(name: str = "a", inputs: dict | None = None, **options) -> TrainingJob:
        scratch = tmp_path / name / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        return TrainingJob(
            kind="fine-tune",
            model=str(tiny_model),
            out=str(tmp_path / name / "out"),
            scratch=str(scratch),
            seed=3,
            inputs={**{k: str(v) for k, v in collection.items()}, **(inputs or {})},
            options={**FAST, **options},
            checkpoint_s=0.0,
        )

    return make


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_encoder(folder, device="cpu").module.state_dict()


def same(a: str | Path, b: str | Path) -> bool:
    left, right = weights(a), weights(b)
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"kl"}))
def test_every_loss_trains(job, tiny_model, loss):
    summary = finetune.fine_tune(job(loss=loss))
    assert summary["loss_name"] == loss
    assert np.isfinite(summary["loss_last"])
    assert not same(job().out, tiny_model)


def test_same_seed_same_bytes_other_seed_other_weights(job):
    for name in ("a", "b"):
        finetune.fine_tune(job(name))
    finetune.fine_tune(dataclasses.replace(job("c"), seed=4))
    files = sorted(p.relative_to(job("a").out) for p in Path(job("a").out).rglob("*") if p.is_file())
    for file in files:
        assert (Path(job("a").out) / file).read_bytes() == (Path(job("b").out) / file).read_bytes(), file
    assert not same(job("a").out, job("c").out)


def test_matryoshka_and_gradient_caching_train(job):
    finetune.fine_tune(job("plain", matryoshka=[16, 8], loss="cached-mnrl"))
    provenance = json.loads((Path(job("plain").out) / "provenance.json").read_text())
    assert provenance["options"]["matryoshka"] == [16, 8]


def test_a_matryoshka_dimension_the_model_has_not_is_refused(job):
    with pytest.raises(ConfigError, match="33"):
        finetune.fine_tune(job(matryoshka=[33]))


class Stop(Exception):
    """Stands for kill -9: nothing after it runs."""


@pytest.mark.parametrize("at", [3, 7])
def test_an_interrupted_run_resumes_to_the_same_weights(job, monkeypatch, at):
    options = {"max_steps": 10, "evaluations": 5}
    finetune.fine_tune(job("whole", **options))
    broken = job("broken", **options)
    plain = trainer.EmbeddingTrainer.compute_loss

    def stopping(self, *args, **kwargs):
        if self.state.global_step == at:
            raise Stop
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(trainer.EmbeddingTrainer, "compute_loss", stopping)
    with pytest.raises(Stop):
        finetune.fine_tune(broken)
    monkeypatch.undo()
    assert latest_sound(Path(broken.scratch)) is not None
    finetune.fine_tune(broken)
    assert same(job("whole").out, broken.out)
    curves = [json.loads((Path(j.out) / "curve.json").read_text()) for j in (job("whole"), broken)]
    assert curves[0]["dev"] == curves[1]["dev"]


def test_a_corrupted_checkpoint_falls_back_to_the_one_before(job, monkeypatch):
    options = {"max_steps": 6, "evaluations": 1}
    finetune.fine_tune(job("whole", **options))
    broken = job("broken", **options)
    finetune.fine_tune(broken)
    shutil.rmtree(broken.out)
    scratch = Path(broken.scratch)
    last = latest_sound(scratch)
    damaged = bytearray((last / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (last / "model.safetensors").write_bytes(damaged)
    before = latest_sound(scratch)
    assert step_of(before) == step_of(last) - 1
    assert not last.exists()
    finetune.fine_tune(broken)
    assert same(job("whole").out, broken.out)


def test_nan_stops_at_once_and_names_step_and_examples(job, monkeypatch):
    plain = trainer.EmbeddingTrainer.collect_features

    def poison(self, inputs):
        features, labels = plain(self, inputs)
        return features, labels * float("nan") if self.state.global_step == 2 else labels

    monkeypatch.setattr(trainer.EmbeddingTrainer, "collect_features", poison)
    broken = job(max_steps=6, loss="cosine")
    with pytest.raises(NonFiniteLoss, match="step 3") as caught:
        finetune.fine_tune(broken)
    assert "q00" in caught.value.where
    assert "d00" in caught.value.where
    kept = latest_sound(Path(broken.scratch))
    assert step_of(kept) == 2
    assert not Path(broken.out).exists()


def test_a_full_disk_while_saving_is_typed_and_leaves_no_half_checkpoint(job, monkeypatch, tmp_path):
    broken = job(max_steps=4)
    plain = trainer.seal

    def full(folder):
        if step_of(folder) == 2:
            raise OSError(28, "No space left on device")
        plain(folder)

    monkeypatch.setattr(trainer, "seal", full)
    broken.write(tmp_path / "job.json")
    lines: list[dict] = []
    monkeypatch.setattr("embedlib.training.child.emit_error", lines.append)
    assert run_job(tmp_path / "job.json") == 1
    assert isinstance(lines[0], DiskFull)
    assert [p.name for p in Path(broken.scratch).glob("checkpoint-*")] == ["checkpoint-1"]


def subset(folder: Path, out: Path, count: int, **changes) -> str:
    rows = [{**row, **changes} for row in list(read_rows(folder / "examples.parquet"))[:count]]
    out.mkdir()
    write_table(out / "examples.parquet", rows, EXAMPLES)
    return str(out)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_examples_are_refused(job, collection, tmp_path, count):
    with pytest.raises(DataError, match="example") as caught:
        finetune.fine_tune(job(inputs={"examples": subset(collection["examples"], tmp_path / "few", count)}))
    assert caught.value.expected.startswith("at least 2")


def test_a_batch_larger_than_the_data_takes_all_of_it(job, collection, tmp_path):
    few = subset(collection["examples"], tmp_path / "few", 5)
    summary = finetune.fine_tune(job(inputs={"examples": few}, batch_size=512, max_steps=None, epochs=2))
    assert summary["steps"] == 2
    assert summary["examples"] == 5


@pytest.mark.parametrize(
    ("loss", "changes", "wanting"),
    [
        ("triplet", {"negative_ids": []}, "hard negatives"),
        ("margin-mse", {"teacher_positive": None, "teacher_scores": []}, "teacher"),
        ("kl", {}, "teacher"),
    ],
)
def test_a_loss_whose_data_does_not_fit_is_refused_before_training(
    job, collection, tmp_path, loss, changes, wanting
):
    examples = subset(collection["examples"], tmp_path / "few", 20, **changes)
    with pytest.raises(DataError, match=loss) as caught:
        finetune.fine_tune(job(inputs={"examples": examples}, loss=loss))
    assert wanting in caught.value.expected


def test_an_example_of_an_unknown_document_is_named(job, collection, tmp_path):
    examples = subset(collection["examples"], tmp_path / "few", 5, positive_id="nowhere")
    with pytest.raises(DataError, match="nowhere"):
        finetune.fine_tune(job(inputs={"examples": examples}))


def test_the_trained_folder_gives_the_same_vectors_in_plain_sentence_transformers(job):
    from sentence_transformers import SentenceTransformer

    finetune.fine_tune(job())
    texts = ["where is apple number0", "small round bridge"]
    plain = SentenceTransformer(job().out, device="cpu").encode(texts, normalize_embeddings=True)
    ours = load_encoder(job().out, device="cpu").encode_documents(texts)
    assert (plain * ours).sum(axis=1).min() >= 0.9999


def test_lora_trains_little_and_leaves_a_plain_model(job, tiny_model):
    options = {"lora": {"rank": 2, "alpha": 8, "dropout": 0.0}, "max_steps": 4}
    finetune.fine_tune(job("lora", **options))
    before, after = weights(tiny_model), weights(job("lora").out)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("embeddings" in name or "LayerNorm" in name for name in changed)
    broken = job("broken", **options)
    finetune.fine_tune(broken)
    shutil.rmtree(broken.out)
    shutil.rmtree(latest_sound(Path(broken.scratch)))
    finetune.fine_tune(broken)
    assert same(job("lora").out, broken.out)


def test_derived_queries_choose_nothing(job, collection, tmp_path):
    queries = tmp_path / "queries"
    shutil.copytree(collection["queries"], queries)
    rows = [{**row, "origin": "derived"} for row in read_rows(queries / "queries.parquet")]
    write_table(queries / "queries.parquet", rows, QUERIES)
    summary = finetune.fine_tune(job("derived", {"queries": str(queries)}, evaluations=2))
    assert json.loads((Path(job("derived").out) / "curve.json").read_text())["dev"] == []
    assert summary["share"] == 1.0
    assert "dev_best" not in summary


def test_the_budget_of_tokens_bounds_the_steps(job):
    free = finetune.fine_tune(job("free", max_steps=6))
    bound = finetune.fine_tune(job("bound", max_steps=6, max_tokens=free["tokens"] // 2 + 50))
    assert (free["steps"], bound["steps"]) == (6, 3)
    assert bound["tokens"] < free["tokens"]


def test_a_cpu_has_a_budget_of_tokens_of_its_own(job, monkeypatch):
    free = finetune.fine_tune(job("free", max_steps=6))
    monkeypatch.setattr(plan, "CPU_TOKENS", free["tokens"] // 2 + 50)
    assert finetune.fine_tune(job("cpu", max_steps=6))["steps"] == 3


def test_training_reads_no_more_of_a_text_than_it_is_told(job, monkeypatch):
    seen: list[int] = []
    make = finetune.make_batches

    def spied(*args, **options):
        batches = make(*args, **options)
        collate = batches.collate
        batch = collate([{"index": 0}, {"index": 1}])
        seen.append(batch["text_input_ids"].shape[1])
        return batches

    monkeypatch.setattr(finetune, "make_batches", spied)
    finetune.fine_tune(job("all", max_steps=1))
    finetune.fine_tune(job("cut", max_steps=1, max_length=8))
    assert seen[0] > 8
    assert seen[1] == 8
