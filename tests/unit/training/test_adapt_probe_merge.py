"""Adaptation, the probe of origins, distillation and weight merging."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from records import json_of

from embedlib.config.training import Adapt, Distil, Merge, Probe
from embedlib.contracts import PAIRS, Corpus, write_table
from embedlib.errors import ModelError
from embedlib.json_file import write_json
from embedlib.models.local import load_encoder
from embedlib.pairs.report import OriginProbe
from embedlib.stages import merge, probe
from embedlib.stages.base import run_stage
from embedlib.training import adapt as adapting
from embedlib.training.adapt import adapt
from embedlib.training.distil import distil, make_student
from embedlib.training.merge import choose_share, interpolate, merge_weights
from embedlib.training.options import TrainingJob
from embedlib.training.probe import probe as probing
from embedlib.training.probe import verdict
from embedlib.vectors import VectorsInfo


@pytest.fixture
def job(tmp_path, collection, tiny_model):
    """``job(kind, options, **inputs)``."""

    def make(kind, options, **inputs) -> TrainingJob:
        scratch = tmp_path / kind / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        found = {**{k: str(v) for k, v in collection.items()}, **inputs}
        return TrainingJob(
            kind, str(tiny_model), str(tmp_path / kind / "out"), str(scratch), 0, found, options
        )

    return make


@pytest.fixture(scope="session")
def pairs(docs, tmp_path_factory) -> Path:
    """Good pairs (a document's own number) and bad ones (another document's)."""
    rows = []
    for i, doc in enumerate(docs[:96]):
        for origin, target in (("good", doc), ("bad", docs[(i * 7 + 3) % 120])):
            pair = {"query_id": f"{origin}{i}", "query": f"find number{i}", "doc_id": target["doc_id"]}
            rows.append({**pair, "origin": origin, "score": 1})
    folder = tmp_path_factory.mktemp("pairs")
    write_table(folder / "pairs.parquet", rows, PAIRS)
    return folder


PROBE = {"pairs": 96, "margin": 0.01, "loss": "mnrl", "epochs": 1.0, "batch_size": 16, "precision": "fp32"}


def test_probe_measures_each_origin_and_keeps_what_it_measured(job, pairs):
    options = {**PROBE, "learning_rate": 3e-3, "dev_documents": 60}
    one = job("probe", options, pairs=str(pairs))
    summary = probing(one)
    found = json.loads((Path(one.out) / "probe.json").read_text())
    good, bad = found["origins"]["good"], found["origins"]["bad"]
    assert good["delta"] > bad["delta"]
    assert good["delta"] == pytest.approx(good["dev_after"] - good["dev_before"])
    assert good["low"] <= good["delta"] <= good["high"]
    assert (good["n"], good["pairs"], summary["origins"]) == (16, 96, 2)
    kept = json.loads((Path(one.scratch) / "origin-0" / "measured.json").read_text())
    write_json(Path(one.scratch) / "origin-0" / "measured.json", {**kept, "delta": -0.5, "high": -0.1})
    assert probing(one)["kept"] == 1  # what a crash left is not measured again
    assert json.loads((Path(one.out) / "probe.json").read_text())["kept"] == ["good"]


def probed(delta, high):
    return OriginProbe(dev_before=0.5, dev_after=0.5 + delta, delta=delta, low=-1, high=high, n=9, pairs=99)


def test_verdict_keeps_labels_noise_and_at_least_one_origin():
    harm, noise = probed(-0.03, -0.01), probed(-0.005, 0.01)
    assert verdict({"a": harm, "b": noise}, "ab", margin=0.01) == ["b"]
    assert verdict({"a": probed(-0.02, 0.01), "b": noise}, "ab", margin=0.01) == ["b"]
    assert verdict({"label": harm, "b": harm}, ["label", "b"], margin=0.01) == ["label"]
    assert verdict({"a": harm, "b": probed(-0.02, harm.high)}, "ab", margin=0.01) == ["b"]
    assert verdict({}, ["x", "y"], margin=0.01) == ["x", "y"]


def test_probe_stage_does_nothing_when_off_or_with_one_origin(store, refs, pairs, make_artifact):
    inputs = {name: refs[name] for name in ("corpus", "queries", "model")}
    given = make_artifact("pairs", pairs)
    built = run_stage(store, probe.STAGE, Probe(enabled=False), **inputs, pairs=given, vectors=refs["corpus"])
    assert json_of(built.ref, "probe.json") == {"kept": ["bad", "good"], "origins": {}}


@pytest.mark.parametrize("method", ["mlm", "tsdae"])
@pytest.mark.parametrize("helps", [True, False])
def test_adaptation_is_kept_only_if_dev_does_not_fall(job, tiny_model, method, helps, monkeypatch):
    config = Adapt(method=method, batch_size=16, learning_rate=1e-3, precision="fp32")
    scores = iter([np.full(4, 0.5), np.full(4, 0.6 if helps else 0.4)])
    monkeypatch.setattr(adapting, "dev_score", lambda *args, **kwargs: (0.0, next(scores)))
    one = job("adapt", config.identity())
    summary = adapt(one)
    assert summary["kept"] == int(helps)
    assert summary["delta"] == pytest.approx(0.1 if helps else -0.1)
    assert np.isfinite(summary["loss_last"])
    start, now = (load_encoder(p, device="cpu").module for p in (tiny_model, one.out))
    assert now.max_seq_length == start.max_seq_length
    changed = [n for n, v in start.state_dict().items() if not torch.equal(v, now.state_dict()[n])]
    assert bool(changed) == helps
    if not helps:
        assert "costs 0.1000" in summary["reason"]


def test_adaptation_lowers_its_own_loss(job):
    config = Adapt(method="mlm", epochs=12, batch_size=16, learning_rate=3e-3, precision="fp32")
    summary = adapt(job("adapt", config.identity()))
    assert summary["loss_last"] < 5.0 < np.log(30522)


def write_vectors(folder: Path, corpus: Path, model: Path) -> Path:
    encoder = load_encoder(model, device="cpu")
    vectors = encoder.encode_documents(list(Corpus(corpus).texts()))
    (folder / "shards").mkdir(parents=True)
    np.save(folder / "shards" / "0.npy", vectors)
    VectorsInfo(
        dimension=vectors.shape[1], dtype="float32", count=len(vectors), normalized=True,
        model_digest="m", encoding={}, corpus_digest="c", shards=["shards/0.npy"], rows=[len(vectors)],
    ).write(folder)  # fmt: skip
    return folder


def test_a_student_learns_its_teachers_vectors(job, collection, tiny_model, tmp_path):
    vectors = write_vectors(tmp_path / "vectors", collection["corpus"], tiny_model)
    other = load_encoder(tiny_model, device="cpu")
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        other.module.transformers_model.get_input_embeddings().weight.normal_(std=0.02, generator=draws)
    other.save(tmp_path / "other")
    options = {"epochs": 8, "batch_size": 32, "learning_rate": 5e-3, "precision": "fp32"}
    config = Distil(student=str(tmp_path / "other"), **options)
    one = job("distil", config.identity() | {"student": config.kind}, vectors=str(vectors))
    summary = distil(one)
    folders = (tiny_model, tmp_path / "other", one.out)
    teacher, untrained, student = (load_encoder(p, device="cpu") for p in folders)
    texts = list(Corpus(collection["corpus"]).texts())
    wanted = teacher.encode(texts)
    cosines = [float((wanted * s.encode(texts)).sum(axis=1).mean()) for s in (untrained, student)]
    assert 1 - cosines[1] < (1 - cosines[0]) / 2
    assert {"dev_teacher", "dev_student"} <= summary.keys()


def test_a_student_of_fewer_layers_is_saved_as_such(tiny_model, tmp_path):
    student = make_student(load_encoder(tiny_model, device="cpu"), "layers", layers=1)
    student.save(tmp_path / "student")
    again = load_encoder(tmp_path / "student", device="cpu")
    assert again.module.transformers_model.config.num_hidden_layers == 1
    assert np.array_equal(again.encode(["a text"]), student.encode(["a text"]))


def test_another_model_is_projected_to_the_teachers_dimension(tiny_model, minilm):
    teacher = load_encoder(minilm, device="cpu")
    student = make_student(teacher, str(tiny_model))
    vectors = student.encode(["one", "two"])
    assert vectors.shape == (2, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("layers", "kept"), [(None, [0, 2, 5]), (3, [0, 2, 5]), (6, [0, 1, 2, 3, 4, 5])])
def test_kept_layers_are_spread_over_the_teacher(minilm, layers, kept):
    teacher = load_encoder(minilm, device="cpu")
    student = make_student(teacher, "layers", layers=layers)
    theirs, ours = (m.module.transformers_model.encoder.layer for m in (teacher, student))
    weight = [layer.output.dense.weight for layer in theirs]
    same = [
        next(i for i, w in enumerate(weight) if torch.equal(w, layer.output.dense.weight)) for layer in ours
    ]
    assert same == kept


def test_more_layers_than_there_are_is_refused(tiny_model):
    with pytest.raises(ModelError) as caught:
        make_student(load_encoder(tiny_model, device="cpu"), "layers", layers=3)
    assert caught.value.expected == "1 to 2"


def test_interpolation_is_linear_and_its_ends_are_the_models(tiny_model, tmp_path):
    encoder = load_encoder(tiny_model, device="cpu")
    base = {k: v.clone() for k, v in encoder.module.state_dict().items()}
    with torch.no_grad():
        for weight in encoder.module.parameters():
            weight.add_(1.0)
    encoder.save(tmp_path / "tuned")
    merge_weights(tiny_model, tmp_path / "tuned", 0.25, tmp_path / "merged")
    merged = load_encoder(tmp_path / "merged", device="cpu").module.state_dict()
    name = next(n for n, v in base.items() if v.is_floating_point())
    torch.testing.assert_close(merged[name], base[name] + 0.25)
    tuned = encoder.module.state_dict()
    torch.testing.assert_close(interpolate(base, tuned, 0.0)[name], base[name])
    torch.testing.assert_close(interpolate(base, tuned, 1.0)[name], tuned[name])


@pytest.mark.parametrize("other", [{"a": torch.zeros(3)}, {"a": torch.zeros(2), "b": torch.zeros(1)}])
def test_models_of_other_shapes_are_not_interpolated(other):
    with pytest.raises(ModelError) as caught:
        interpolate({"a": torch.zeros(2)}, other, 0.5)
    assert caught.value.where in ("tensor a", "tensor b")


def test_the_smallest_share_within_tolerance_is_chosen():
    assert choose_share({0.25: 0.4, 0.5: 0.6, 0.75: 0.58}, tolerance=0.0) == 0.5


def test_merge_stage_takes_the_smallest_share_that_is_as_good(store, refs):
    inputs = {name: refs[name] for name in ("corpus", "queries")}
    config = Merge()
    built = run_stage(store, merge.STAGE, config, **inputs, base=refs["model"], tuned=refs["model"])
    found = json_of(built.ref, "merge.json")
    assert found["chosen"] == 0.25
    assert [t["share"] for t in found["tried"]] == [0.25, 0.5, 0.75]
    assert json_of(built.ref, "provenance.json")["share"] == 0.25
