"""The whole diagnosis on a real release: healthy, then with each fault planted in its files."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from records import edit_record
from typer.main import get_command

from embedlib import doctor
from embedlib.artifact import read_manifest
from embedlib.cli.main import app
from embedlib.doctor.diagnose import diagnose, exit_code
from embedlib.doctor.findings import Severity
from embedlib.doctor.released import ReleaseDoctor
from embedlib.doctor.vectors import check_anisotropy
from embedlib.fingerprint import digest, file_sha256
from embedlib.index.catalog import current
from embedlib.models.local import load_encoder


def by_subject(findings):
    return {f.subject: f for f in findings}


def errors(findings):
    return {f.subject for f in findings if f.severity == Severity.ERROR}


def part(root, name):
    return current(root).ref(root, name).path


def rewrite_manifest(folder, files):
    """Give an artifact whose files were replaced a manifest that fits, with a digest of its own."""

    def fit(manifest):
        for name in files:
            size, sha256 = (folder / name).stat().st_size, file_sha256(folder / name)
            manifest["files"][name] = {"bytes": size, "sha256": sha256}
        manifest["digest"] = digest({n: e["sha256"] for n, e in manifest["files"].items()})

    edit_record(folder / "artifact.json", fit)
    return read_manifest(folder).digest


def rewrite_release(root, **digests):
    def change(release):
        for name, value in digests.items():
            release["parts"][name]["digest"] = value

    edit_record(root / "releases" / "1" / "release.json", change)


def test_a_workspace_that_does_not_exist_yet(tmp_path):
    findings = diagnose(tmp_path / "none")
    assert errors(findings) == set()
    assert exit_code(findings) == 1
    assert by_subject(findings)["release"].title == "nothing is live"


def test_a_healthy_release_has_no_errors_and_every_subject_is_looked_at(released):
    findings = diagnose(released)
    assert errors(findings) == set()
    assert set(by_subject(findings)) >= {
        "versions", "disk", "leftovers", "locks", "speed", "release", "pairing", "vectors", "anisotropy",
        "collapse", "same-vectors", "library", "vocabulary", "truncation", "padding", "bm25", "prompts",
        "pooling", "metric",
    }  # fmt: skip
    for finding in findings:
        assert bool(finding.command) == (finding.severity != Severity.OK)
        json.loads(finding.model_dump_json())


def test_a_model_with_random_weights_is_found_out(released, tiny_model):
    doctor = ReleaseDoctor(released, current(released), np.random.default_rng(0))
    vectors = load_encoder(tiny_model).encode_documents(doctor.texts)
    found = check_anisotropy(vectors, np.random.default_rng(0))
    assert found.severity == Severity.ERROR
    assert found.evidence["mean cosine of random pairs"] > 0.9


def test_a_cut_index_file(released):
    index = part(released, "index") / "index.faiss"
    index.write_bytes(index.read_bytes()[:-10])
    findings = diagnose(released, try_alternatives=False)
    assert "files" in errors(findings)
    assert "index.faiss" in by_subject(findings)["files"].evidence["damage"]
    assert exit_code(findings) == 1


def test_vectors_lost_altogether_are_told_not_raised(released):
    shutil.rmtree(part(released, "vectors"))
    findings = diagnose(released, try_alternatives=False)
    assert exit_code(findings) == 1


def test_an_unreadable_release_is_told_not_raised(released):
    (released / "releases" / "1" / "release.json").write_text("{")
    findings = diagnose(released)
    assert errors(findings) == {"release"}


def test_a_model_swapped_for_another_under_the_same_index(released):
    model = part(released, "model")
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    values = np.frombuffer(data, dtype=np.float32, offset=len(data) - 4 * 20_000)
    values[:] = values[::-1]
    weights.write_bytes(data)
    rewrite_release(released, model=rewrite_manifest(model, ["model.safetensors"]))
    found = errors(diagnose(released, try_alternatives=False))
    assert {"pairing", "same-vectors"} <= found


def test_a_model_whose_pooling_was_changed_gives_other_vectors(released):
    model = part(released, "model")
    config = next(model.glob("*Pooling/config.json"))
    name = config.relative_to(model).as_posix()
    config.write_text(config.read_text().replace('"mean"', '"cls"'))
    rewrite_release(released, model=rewrite_manifest(model, [name]))
    findings = by_subject(diagnose(released, try_alternatives=False))
    assert findings["same-vectors"].severity == Severity.ERROR


@pytest.mark.parametrize(
    ("subject", "options", "remedy", "severity"),
    [
        ("pooling", {"pooling": "last-token"}, "mean", Severity.ERROR),
        ("prompts", {"prompts": {"query": "orange kettle tunnel island "}}, "query ''", Severity.WARNING),
    ],
)
def test_the_wrong_use_of_a_good_model_is_found_by_trying_the_right_one(
    released, release_template, subject, options, remedy, severity
):
    doctor = ReleaseDoctor(released, current(released), np.random.default_rng(0))
    doctor.encoder = load_encoder(release_template / "model", **options)
    found = by_subject(doctor.usage())
    assert {name: f.severity for name, f in found.items() if f.severity != Severity.OK} == {subject: severity}
    assert found[subject].evidence["low"] > 0
    assert remedy in found[subject].title


def test_trying_alternatives_leaves_the_encoder_as_it_was(released):
    doctor = ReleaseDoctor(released, current(released), np.random.default_rng(0))
    before = doctor.encoder.encode_queries(["river stone"])
    list(doctor.usage())
    np.testing.assert_array_equal(doctor.encoder.encode_queries(["river stone"]), before)


def test_what_stops_an_examination_is_a_finding_under_its_subject(released, monkeypatch):
    def away(*_):
        raise RuntimeError("the store's client fell over")

    monkeypatch.setattr("embedlib.doctor.diagnose.check_target", away)
    found = by_subject(diagnose(released, try_alternatives=False))["vector store"]
    assert found.severity == Severity.ERROR
    assert "fell over" in found.evidence["error"]


def test_a_torn_job_of_a_training_is_a_finding_and_no_traceback(tmp_path):
    scratch = tmp_path / "scratch" / "abc"
    scratch.mkdir(parents=True)
    plan = {"event": "plan", "mini_batch_tokens": 1, "memory_mb": 1}
    (scratch / "training.log").write_text(json.dumps(plan) + "\n")
    (scratch / "job.json").write_text("{")
    found = by_subject(diagnose(tmp_path))["training"]
    assert found.severity == Severity.ERROR
    assert "JSONDecodeError" in found.evidence["error"]


def test_commands_that_findings_name_have_the_options_that_they_name():
    commands = get_command(app).commands
    named = []
    for path in Path(doctor.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            named += re.findall(r"embedlib ([a-z][a-z-]+)((?: (?!embedlib)[^ `]+)*)", text)
    assert len(named) > 20
    for command, rest in named:
        options = {name for option in commands[command].params for name in option.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= options, (command, rest)
