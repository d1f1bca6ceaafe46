"""The card of a release's model: the hub's metadata, and what people ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from records import json_of

from embedlib.errors import UserError
from embedlib.publishing.folder import export_model
from embedlib.store import Store

#: The release is made by real stages.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def folder(tuned, tmp_path: Path) -> Path:
    export_model(tuned.root, tuned.release, tmp_path / "model", name="acme/search")
    return tmp_path / "model"


def test_the_metadata_is_the_hub_s(folder: Path, tuned) -> None:
    card = ModelCard.load(folder / "README.md")
    card.data.to_dict()
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert card.data.license == "apache-2.0"
    assert card.data.language == ["en"]
    assert card.data.library_name == "sentence-transformers"
    assert card.data.pipeline_tag == "sentence-similarity"
    measured = {result.metric_name: result.metric_value for result in card.data.eval_results}
    decision = tuned.release.ref(tuned.root, "decision")
    record = json_of(decision.parents["evaluation"], "comparisons.json")["datasets"]["human"]
    assert measured == {
        name: round(value["mean"], 4) for name, value in record["systems"]["candidate"].items()
    }
    assert "nDCG@10" in measured


def test_the_card_says_what_was_measured_made_and_searched(folder: Path, tuned) -> None:
    text = (folder / "README.md").read_text()
    decision = json_of(tuned.release.ref(tuned.root, "decision"), "decision.json")
    value = decision["numbers"]["systems"]["candidate"]
    assert f"| **candidate** | {value['mean']:.4f} ({value['low']:.4f} … {value['high']:.4f}) |" in text
    assert "1. train (loss mnrl, epochs 1)" in text
    assert "20 test queries (written and judged by people), 80 documents" in text
    assert "| train | 40 | 40 | written and judged by people |" in text
    assert f"The release answers queries with: {tuned.release.search}." in text
    assert "Texts beyond 64 tokens are cut" in text
    assert all(reason in text for reason in decision["reasons"])
    assert json.loads((folder / "embedlib.json").read_text())["release"] == tuned.release.number


def test_the_artifact_stays_as_it_was_and_the_folder_is_the_model(folder: Path, tuned) -> None:
    from sentence_transformers import SentenceTransformer

    model = tuned.release.ref(tuned.root, "model")
    assert not (model.path / "README.md").exists()
    assert Store(tuned.root).get("model", model.fingerprint).digest == model.digest
    assert not (folder / "artifact.json").exists()
    ours = SentenceTransformer(str(folder), device="cpu").encode(["river stone"])
    assert (ours == SentenceTransformer(str(model.path), device="cpu").encode(["river stone"])).all()


def test_a_folder_that_holds_files_is_left_alone(tuned, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="nothing can be exported"):
        export_model(tuned.root, tuned.release, tmp_path / "out", name="a")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_base_model_has_a_card_too(tuned, tmp_path: Path) -> None:
    base = tuned.release.ref(tuned.root, "model").parents["model"]
    part = tuned.release.parts["model"].model_copy(
        update={"fingerprint": base.fingerprint, "digest": base.digest}
    )
    release = tuned.release.model_copy(update={"parts": {**tuned.release.parts, "model": part}})
    export_model(tuned.root, release, tmp_path / "base", name="acme/base")
    text = (tmp_path / "base" / "README.md").read_text()
    assert "as it is: no candidate was proven better" in text
    assert "| **base** |" in text
