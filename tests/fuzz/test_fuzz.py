"""A short slice of ``make fuzz``, and the faults that it would find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzz.cases import run_cases
from fuzz.source_cases import source_case
from fuzz.workspace_cases import READING, SEARCHES, SmallWorkspace

from embedlib.index.catalog import current

SEED, CASES = 20, 24


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> SmallWorkspace:
    return SmallWorkspace(tmp_path_factory.mktemp("fuzz"))


def half_of_zeros(rng: np.random.Generator, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def parts(workspace: SmallWorkspace, name: str) -> Path:
    return current(workspace.root).ref(workspace.root, name).path


@pytest.mark.timeout(300)
def test_damage_and_odd_rows_end_in_a_message_or_the_right_answer(tmp_path, workspace):
    cases = run_cases(workspace, tmp_path / "source", SEED, CASES, seconds=60)
    assert [failure for case in cases for failure in case.failures] == []
    assert len({case.command for case in cases}) > 4


def test_the_harness_sees_a_wrong_answer(workspace, monkeypatch):
    monkeypatch.setattr("embedlib.index.snapshot.require_served", lambda *_: None)
    path = parts(workspace, "index") / "index.faiss"
    case = workspace.attempt(np.random.default_rng(0), path, half_of_zeros, SEARCHES[2])
    assert [failure.what for failure in case.failures] == ["a wrong answer"]


def test_the_harness_sees_a_traceback(workspace, monkeypatch):
    def careless(*_):
        raise KeyError("model")

    monkeypatch.setattr("embedlib.index.snapshot.require_served", careless)
    path = parts(workspace, "index") / "index.json"
    case = workspace.attempt(np.random.default_rng(0), path, half_of_zeros, SEARCHES[0])
    assert case.failures[0].what == "a traceback"
    assert "KeyError" in case.failures[0].detail


def test_the_harness_sees_that_verify_is_blind(workspace, monkeypatch):
    monkeypatch.setattr("embedlib.integrity.Checksums.matches", lambda *_: True)
    path = parts(workspace, "vectors") / "shards" / "00000.npy"
    (verify,) = (arguments for arguments in READING if arguments[0] == "verify")
    case = workspace.attempt(np.random.default_rng(0), path, half_of_zeros, verify)
    assert case.failures[0].what == "verify did not see it"


def test_the_harness_sees_a_lost_release(workspace, monkeypatch):
    def lost(_, path, *args, **kwargs):
        path.unlink(missing_ok=True)

    monkeypatch.setattr(SmallWorkspace, "_undo", lost)
    case = workspace.attempt(
        np.random.default_rng(0), parts(workspace, "index") / "index.json", half_of_zeros, SEARCHES[0]
    )
    assert "afterwards it does not serve" in case.failures[0].what


def test_the_harness_sees_a_lost_row(tmp_path, workspace, monkeypatch):
    monkeypatch.setattr("embedlib.corpus.rejects.Rejects.add", lambda *_: None)
    read = (source_case(np.random.default_rng(seed), tmp_path / "s", workspace.model) for seed in range(12))
    assert any("listed as rejected" in failure.what for case in read for failure in case.failures)
