"""The code digest follows imports and ignores what cannot change a result."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from embedlib import fingerprint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A throw-away module ``probe_mod`` that imports a contract, with a fresh digest cache."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest_of(source: str) -> str:
        (tmp_path / "probe_mod.py").write_text(source)
        sys.modules.pop("probe_mod", None)
        for cached in (fingerprint.code_digest, fingerprint._source, fingerprint._imports):
            cached.cache_clear()
        return fingerprint.code_digest("probe_mod")

    yield digest_of
    for cached in (fingerprint.code_digest, fingerprint._source, fingerprint._imports):
        cached.cache_clear()


def test_comments_and_docstrings_do_not_count(package) -> None:
    plain = package("def f(x):\n    return x + 1\n")
    assert package('"""Doc."""\n# why\ndef f(x):\n    """More."""\n    return (x + 1)\n') == plain


def test_a_changed_formula_counts(package) -> None:
    assert package("def f(x):\n    return x + 1\n") != package("def f(x):\n    return x + 2\n")


def test_imports_are_followed_wherever_they_stand(package) -> None:
    alone = package("def f():\n    return 1\n")
    assert package("def f():\n    from embedlib.contracts import Corpus\n    return 1\n") != alone
    found = fingerprint._closure("probe_mod")
    assert "embedlib.contracts" in found
    assert not found & fingerprint.INFRASTRUCTURE


@pytest.mark.parametrize("stage", ["train", "adapt", "distil", "probe"])
def test_what_the_training_process_runs_counts_to_the_stage_that_launches_it(stage: str) -> None:
    counted = fingerprint._closure(f"embedlib.stages.{stage}")
    kinds = {f"embedlib.training.{name}" for name in ("adapt", "distil", "finetune", "probe")}
    assert kinds | {"embedlib.training.losses", "embedlib.training.trainer"} <= counted


def test_a_merge_is_not_made_anew_for_another_training() -> None:
    counted = fingerprint._closure("embedlib.stages.merge")
    assert "embedlib.training.merge" in counted
    assert not {f"embedlib.training.{name}" for name in ("child", "finetune", "distil")} & counted
