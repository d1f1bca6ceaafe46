"""The commands on what is live, given damaged workspaces and odd arguments: one message, never a traceback."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from index_workspace import Workspace, words
from typer.testing import CliRunner

from embedlib.cli.main import app
from embedlib.errors import DataError, EmbedlibError, ModelError, ReleaseError, UserError
from embedlib.index import catalog
from embedlib.integrity import sealed


@pytest.fixture
def two(workspace: Workspace) -> Workspace:
    """Releases 1 and 2 of different documents; 2 is live."""
    for seed in range(2):
        workspace.publish(workspace.parts(words(12, seed)))
    return workspace


def call(workspace: Workspace, *arguments: str):
    return CliRunner().invoke(app, [*arguments, "--workspace", str(workspace.root)])


def error(workspace: Workspace, *arguments: str) -> EmbedlibError:
    found = call(workspace, *arguments).exception
    assert isinstance(found, EmbedlibError), found
    return found


def checked(workspace: Workspace) -> dict:
    """What ``verify`` finds; its exit code says whether it found something."""
    result = call(workspace, "verify", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (1 if found["damaged"] or found["unusable"] else 0)
    return found


def test_a_whole_workspace_passes(two):
    assert checked(two) == {"artifacts": 7, "releases": 2, "damaged": [], "unusable": []}
    assert call(two, "verify").stdout == "7 artifacts, 0 damaged; 2 releases, 0 problems\n"


@pytest.mark.parametrize("part", ["corpus", "model", "vectors", "index"])
def test_verify_names_a_part_of_a_release_that_is_gone(two, part):
    shutil.rmtree(catalog.current(two.root).ref(two.root, part).path)
    found = checked(two)
    assert any(f"the {part} artifact of release 2 is gone" in m for m in found["unusable"])
    assert call(two, "verify").exit_code == 1


def test_verify_sees_all_artifacts_gone(two):
    shutil.rmtree(two.root / "artifacts")
    found = checked(two)
    assert found["artifacts"] == 0
    assert len(found["unusable"]) == 8


def test_verify_sees_an_artifact_without_its_record(two):
    catalog.current(two.root).ref(two.root, "vectors").file("artifact.json").unlink()
    assert any("artifact.json" in m for m in checked(two)["damaged"])


def test_verify_sees_swapped_folders(two):
    one, other = (catalog.read_release(two.root, n).ref(two.root, "vectors").path for n in (1, 2))
    one.rename(two.root / "away")
    other.rename(one)
    (two.root / "away").rename(other)
    found = checked(two)
    assert len(found["damaged"]) == 2
    assert all("another artifact's folder" in m for m in found["damaged"])


def test_verify_sees_a_lost_current(two):
    (two.root / "releases" / "current").unlink()
    (message,) = checked(two)["unusable"]
    assert "releases/current is missing" in message
    assert "rollback --to 2" in message


@pytest.mark.parametrize("content", [b"\x80", None], ids=["garbled", "of another version"])
def test_a_release_whose_configuration_is_none_any_more_is_rolled_back_all_the_same(two, content):
    path = two.root / "releases" / "2" / catalog.CONFIGURATION
    if content is None:
        record = sealed({"schema_version": catalog.CONFIGURATION_SCHEMA, "options": {"train": {"gone": 1}}})
        path.write_text(json.dumps(record))
    else:
        path.write_bytes(content)
    result = call(two, "rollback")
    assert result.exit_code == 0, result.exception
    assert result.stdout == "release 1 is live\n"
    assert "the live release's configuration is left alone: " in result.stderr


def test_verify_names_garbled_lines_and_records(two):
    history = two.root / "releases" / "history.jsonl"
    history.write_bytes(b"\x80" + history.read_bytes())
    (two.root / "releases" / "1" / "release.json").write_bytes(b"\x80")
    found = checked(two)["unusable"]
    assert any("line 1" in m and "history.jsonl" in m for m in found)
    assert any("release 1 cannot be read" in m for m in found)


def test_one_garbled_artifact_does_not_end_the_check(two):
    for n in (1, 2):
        catalog.read_release(two.root, n).ref(two.root, "index").file("artifact.json").write_bytes(b"\x80{")
    assert len(checked(two)["damaged"]) == 2


def test_releases_are_listed_whatever_is_wrong_with_the_live_one(two):
    (two.root / "releases" / "current").unlink()
    result = call(two, "releases", "--json")
    assert [row["number"] for row in json.loads(result.stdout)] == [2, 1]
    assert isinstance(result.exception, ReleaseError)
    assert "rollback --to 2" in str(result.exception)


@pytest.mark.parametrize("out", [".", "", "file", "file/below", "broken", "full", "/"])
def test_an_export_without_a_place_is_refused_in_one_sentence(two, tmp_path, monkeypatch, out):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    if out not in (".", ""):
        (place / "file").write_text("precious")
        (place / "broken").symlink_to("nowhere")
        (place / "full").mkdir()
        (place / "full" / "f").write_text("")
    before = sorted(place.rglob("*"))
    found = error(two, "export", out)
    assert "remedy" in str(found)
    assert found.exit_code == 2
    assert sorted(place.rglob("*")) == before


def test_an_export_into_an_empty_folder_or_a_link_to_one(two, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert call(two, "export", str(tmp_path / "link")).exit_code == 0
    assert (tmp_path / "empty" / "vectors-00000.parquet").is_file()
    assert call(two, "export", str(tmp_path / "new" / "deep")).exit_code == 0


@pytest.mark.parametrize("part", ["corpus", "vectors"])
def test_damaged_vectors_or_documents_are_not_exported(two, tmp_path, part):
    ref = catalog.current(two.root).ref(two.root, part)
    path = ref.file("shards/00000.npy" if part == "vectors" else "corpus.parquet")
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert f"the {part} artifact of release 2 is damaged" in str(error(two, "export", str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_a_query_that_is_no_utf8_is_refused(two):
    found = error(two, "search", os.fsdecode(b"caf\xe9"))
    assert isinstance(found, DataError)
    assert "not valid UTF-8" in str(found)


@pytest.mark.parametrize(
    "value", ["[" * 100_000, "9" * 5000, '{"a":' * 2000, os.fsdecode(b"\xff"), "1e999", "NaN"]
)
def test_odd_filters_find_nothing_and_break_nothing(two, value):
    result = call(two, "search", "word", "--where", f"source={value}", "--json")
    assert result.exception is None
    assert json.loads(result.stdout) == []


def test_a_reranker_without_a_name_is_refused(two):
    assert isinstance(error(two, "search", "word", "--rerank", ""), ModelError)


def test_a_folder_in_the_place_of_current(two):
    link = two.root / "releases" / "current"
    link.unlink()
    link.mkdir()
    for command in ("search", "export"):
        assert "releases/current" in str(error(two, command, "x"))
    assert any("releases/current" in m for m in checked(two)["unusable"])
    assert call(two, "rollback").exit_code == 0
    assert catalog.current(two.root).number == 1


def test_a_workspace_that_is_a_file(tmp_path):
    (tmp_path / "ws").write_text("")
    for command in (["search", "x"], ["releases"], ["rollback"], ["verify"], ["export", str(tmp_path / "o")]):
        result = CliRunner().invoke(app, [*command, "--workspace", str(tmp_path / "ws")])
        assert isinstance(result.exception, UserError), command
