"""From a name to a folder and a digest, with no network."""

from __future__ import annotations

import shutil
import time

import pytest

from embedlib.errors import ModelError
from embedlib.models.resolve import model_digest, resolve_model
from embedlib.store import Recipe


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_packaged_model(name, minilm):
    assert resolve_model(name) == minilm


def test_a_folder(tiny_model):
    assert resolve_model(str(tiny_model)) == tiny_model.resolve()


def test_an_unknown_hub_name_fails_at_once_with_a_remedy():
    started = time.monotonic()
    with pytest.raises(ModelError) as error:
        resolve_model("nobody/has-this-model")
    assert time.monotonic() - started < 10
    assert "HF_HUB_OFFLINE" in error.value.found
    assert "all-MiniLM-L6-v2" in error.value.remedy


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(name):
    with pytest.raises(ModelError, match="no model folder"):
        resolve_model(name)


def test_a_folder_without_a_model_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError) as error:
        resolve_model(tmp_path)
    assert "notes.txt" in error.value.found


def test_the_digest_follows_what_changes_vectors_and_nothing_else(tiny_model, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    before = model_digest(copy)
    assert before == model_digest(tiny_model)
    (copy / "README.md").write_text("other words")
    assert model_digest(copy) == before
    config = copy / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace("mean", "cls"))
    assert model_digest(copy) != before


def test_an_artifacts_digest_is_its_own(store, tiny_model):
    def make(work):
        shutil.copytree(tiny_model, work.out, dirs_exist_ok=True)
        return {}

    ref = store.build(Recipe("base", "model", "code"), make).ref
    assert model_digest(ref.path) == ref.digest


def test_an_artifacts_folder_that_was_edited_counts_as_it_is_now(store, tiny_model, tmp_path):
    def make(work):
        shutil.copytree(tiny_model, work.out, dirs_exist_ok=True)
        return {}

    ref = store.build(Recipe("base", "model", "code"), make).ref
    copy = shutil.copytree(ref.path, tmp_path / "copy")
    assert model_digest(copy) == ref.digest
    config = copy / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace("mean", "cls"))
    assert model_digest(copy) not in (ref.digest, model_digest(tiny_model))
