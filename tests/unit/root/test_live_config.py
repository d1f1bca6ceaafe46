"""A release keeps the configuration it was made with, and a workspace alone is enough for later runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from embedlib.cli import main
from embedlib.cli.app import settings
from embedlib.config.live import live_values, to_remember, with_documents
from embedlib.config.root import Config, load_config
from embedlib.errors import EmbedlibError, UserError
from embedlib.index import catalog


def workspace(root: Path, configuration: dict[str, Any] | None) -> Path:
    """A workspace whose live release is number 3."""
    (root / "artifacts").mkdir(parents=True)
    release = root / "releases" / "3"
    release.mkdir(parents=True)
    if configuration is not None:
        catalog.write_configuration(release, configuration)
    (root / "releases" / "current").symlink_to("3")
    return root


def test_what_was_given_comes_back_from_any_working_directory(tmp_path, monkeypatch):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    values = {
        "workspace": "ws",
        "seed": 3,
        "model": {"name": "models/mine"},
        "ingest": {"source": {"type": "csv", "path": "docs.csv", "fields": {"text": "body"}}},
        "evaluate": {"guards": [{"type": "similarity", "file": "sts.tsv"}]},
        "report": {"command": "embedlib run", "title": "T"},
        "publish": {"replace_documents": True, "keep": 7},
    }
    kept = to_remember(load_config(values=values))
    assert json.loads(json.dumps(kept)) == kept
    assert "train" not in kept
    root = workspace(tmp_path / "moved", kept)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = with_documents(Config(workspace=root))
    assert found.ingest.source.path == tmp_path / "docs.csv"
    assert found.ingest.source.fields.text == "body"
    assert found.model.name == found.ingest.tokenizer == str(tmp_path / "models" / "mine")
    assert found.evaluate.guards[0].file == tmp_path / "sts.tsv"
    assert (found.seed, found.publish.keep, found.report.title) == (3, 7, "T")
    assert found.workspace == root
    assert not found.publish.replace_documents
    assert "command" not in found.report.model_fields_set


def test_labels_beside_the_documents_follow_them(tmp_path):
    kept = to_remember(load_config(values={"ingest": {"source": {"type": "auto", "path": tmp_path / "a"}}}))
    there = load_config(base=kept, overrides=[f"ingest.source.path={tmp_path / 'b'}"])
    assert there.split.labels.path == there.ingest.source.path == tmp_path / "b"


def test_what_is_given_wins_and_nothing_else_changes(tmp_path):
    kept = {
        "ingest": {"source": {"type": "csv", "path": "/old.csv", "delimiter": ";"}, "chunk": {"mode": "on"}},
        "train": {"epochs": 2, "batch_size": 16},
    }
    root = workspace(tmp_path / "ws", kept)
    same = settings(None, None, root, ["train.epochs=1"], of_live=True)
    assert (same.train.epochs, same.train.batch_size, same.ingest.source.delimiter) == (1, 16, ";")
    other = settings(None, tmp_path / "new", root, [], of_live=True)
    assert other.ingest.source.model_dump()["path"] == tmp_path / "new"
    assert other.ingest.source.type == "auto"
    assert other.ingest.chunk.mode == "on"
    file = tmp_path / "c.yaml"
    file.write_text("ingest: {source: {type: docstrings}}")
    assert settings(file, None, root, [], of_live=True).train.epochs == Config().train.epochs
    moved = settings(None, None, None, [f"workspace={root}"], of_live=True)
    assert moved.train.epochs == 2


def test_a_configuration_with_documents_is_complete(tmp_path):
    root = workspace(tmp_path / "ws", {"seed": 9, "ingest": {"source": {"type": "docstrings"}}})
    config = load_config(values={"workspace": root, "ingest": {"source": {"type": "auto", "path": "x"}}})
    assert with_documents(config) is config


def test_nothing_live_and_an_unknown_configuration_say_what_to_give(tmp_path):
    (tmp_path / "artifacts").mkdir()
    with pytest.raises(UserError, match="nothing is live"):
        live_values(tmp_path)
    root = workspace(tmp_path / "old", None)
    with pytest.raises(UserError, match="release 3 does not say") as caught:
        live_values(root)
    assert "--data" in caught.value.expected
    assert live_values(root, required=False) == {}


@pytest.mark.parametrize("damage", [b"", b"[1]", b"\xff\xfe", b'{"a": '])
def test_a_damaged_configuration_is_named(tmp_path, damage):
    root = workspace(tmp_path, {})
    (root / "releases" / "3" / "config.json").write_bytes(damage)
    with pytest.raises(EmbedlibError, match="configuration of release 3 cannot be read"):
        live_values(root)


READERS = [
    ["refresh"],
    ["refresh", "--data", "docs"],
    ["monitor"],
    ["monitor", "--config", "c.yaml"],
    ["run"],
    ["search", "q"],
    ["verify"],
    ["releases"],
    ["rollback"],
    ["export", "out"],
    ["doctor"],
    ["evaluate", "--set", "evaluate.guards=[]"],
    ["evaluate"],
]


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_a_mistyped_workspace_is_an_error_and_no_new_folder(tmp_path, monkeypatch, capsys, command):
    (tmp_path / "c.yaml").write_text("ingest: {source: {type: docstrings}}\nworkspace: typo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["embedlib", *command, "--workspace", "typo"])
    monkeypatch.setattr("embedlib.cli.lifecycle.start_flow", pytest.fail)
    monkeypatch.setattr("embedlib.cli.service.start_flow", pytest.fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "there is no workspace here" in message
    assert str(tmp_path / "typo") in message
    assert set(tmp_path.iterdir()) == before


def test_the_deployments_name_no_documents():
    import yaml

    document = yaml.safe_load((Path(__file__).parents[3] / "prefect.yaml").read_text())
    for deployment in document["deployments"]:
        config = Config.model_validate(deployment["parameters"]["config"])
        assert config.ingest.source is None
