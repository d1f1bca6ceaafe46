"""A base model for other languages than the documents': said at once, not only with the verdict."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from embedlib.config.data import Ingest
from embedlib.config.root import Config
from embedlib.evaluation.lineage import Provenance
from embedlib.stages.base import run_stage
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.store import Recipe, Store
from flows.lifecycle import prepare


class Stop(Exception):
    pass


def test_a_base_of_another_language_is_warned_of_before_the_documents_are_split(
    tmp_path, monkeypatch, caplog
):
    def pinned(work):
        Provenance(source="all-MiniLM-L6-v2").write(work.out)
        return {}

    def stop(*_, **__):
        raise Stop

    (tmp_path / "docs").mkdir()
    text = "Les documents sont rangés dans un dossier, et relus chaque nuit par le programme."
    (tmp_path / "docs" / "fr.txt").write_text(text)
    store = Store(tmp_path / "ws")
    base = store.build(Recipe("pin", "model", "code"), pinned).ref
    corpus = run_stage(store, INGEST, Ingest(source={"type": "folder", "path": tmp_path / "docs"})).ref
    monkeypatch.setattr("flows.lifecycle.live_release", lambda *_, **__: None)
    monkeypatch.setattr("flows.lifecycle.check_documents", lambda *_: None)
    for stage, answer in {"pin": lambda *_: base, "ingest": lambda *_: corpus, "split": stop}.items():
        monkeypatch.setattr(f"tasks.stages.{stage}", answer)
    with pytest.raises(Stop):
        prepare(SimpleNamespace(workspace=tmp_path / "ws"), Config(), None)
    (told,) = [r for r in caplog.records if "Documents are in fr" in r.getMessage()]
    assert told.levelname == "WARNING"
    assert "embedlib recommend --language fr" in told.getMessage()
    assert "\n" not in told.getMessage()
