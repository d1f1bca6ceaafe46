"""A student goes live only if it is proven, is searched like any model, and has no student of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import json_of

from embedlib.config.root import load_config
from embedlib.errors import ReleaseError
from embedlib.index import catalog
from embedlib.index.search import Searcher
from embedlib.models.local import load_encoder
from embedlib.publishing.facts import model_facts
from embedlib.store import Store
from tests.published import publish_base, save_bag_model, small_config, write_beir

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_model: Path):
    folder = tmp_path_factory.mktemp("student")
    model = save_bag_model(folder / "model", tiny_model)
    made = small_config(folder / "ws", write_beir(folder / "data"), model, evaluate={"guards": []}, seed=0)
    publish_base(made)
    return made


def with_distil(config, **options):
    return load_config(values={**config.model_dump(), "distil": {"precision": "fp32", **options}})


def test_a_student_that_is_not_proven_changes_nothing(config) -> None:
    from flows.distil import distil

    before = catalog.current(config.workspace)
    decision = distil(with_distil(config, objective="balanced", keep=1.0, epochs=0.1))
    record = json_of(Store(config.workspace).get("decision", decision), "decision.json")
    assert record["verdict"] == "keep"
    assert "not proven to keep 100%" in record["headline"]
    assert catalog.current(config.workspace).number == before.number


def test_a_proven_static_student_is_live_and_searched_as_its_decision_says(config) -> None:
    from flows.distil import distil

    decision = distil(with_distil(config, objective="speed", keep=0.5, batch_size=16))
    record = json_of(Store(config.workspace).get("decision", decision), "decision.json")
    assert record["verdict"] == "promote"
    assert record["numbers"]["kept"] > 0.5
    assert "documents a second" in record["reasons"][1]
    live = catalog.current(config.workspace)
    assert live.ref(config.workspace, "model").manifest.stage == "distil"
    assert live.parts["decision"].fingerprint == decision
    assert live.search.model_dump(mode="json") == record["search"]["student"]
    facts = model_facts(config.workspace, live)
    assert facts.system == "student"  # the card has its figures
    assert facts.dimension == load_encoder(live.ref(config.workspace, "model").path).dimension
    hits = Searcher(config.workspace).search("river stone window", k=3)
    assert len(hits) == 3
    with pytest.raises(ReleaseError, match="student already"):
        distil(with_distil(config, objective="speed"))
