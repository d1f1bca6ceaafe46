"""A model from elsewhere runs no code of its own: not by pickle, not by a module in its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from embedlib.errors import ModelError
from embedlib.models.local import load_encoder


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that code from the folder would create."""
    return tmp_path / "mark"


def test_pickled_weights_are_not_unpickled(folder, mark):
    (weights,) = folder.rglob("model.safetensors")
    pickled = weights.with_name("pytorch_model.bin")
    weights.unlink()
    torch.save({"weights": Payload(mark)}, pickled)
    with pytest.raises(ModelError, match="does not load"):
        load_encoder(folder)
    assert not mark.exists()
    torch.load(pickled, weights_only=False)
    assert mark.exists(), "the payload is harmless, so the test shows nothing"


def test_code_in_the_folder_runs_only_when_it_is_trusted(folder, mark):
    code = (
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from sentence_transformers.sentence_transformer.modules import Normalize as Own\n"
    )
    (folder / "own.py").write_text(code)
    modules = json.loads((folder / "modules.json").read_text())
    modules[-1]["type"] = "own.Own"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="trust_remote_code"):
        load_encoder(folder)
    assert not mark.exists()
    load_encoder(folder, trust_remote_code=True)
    assert mark.exists()
