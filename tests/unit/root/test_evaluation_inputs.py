"""What an evaluation is given is sorted: collections, general sets, runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedlib.config.evaluation_inputs import evaluation_inputs
from embedlib.config.root import Config, load_config
from embedlib.errors import UserError


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "sts" / "test.tsv"
    path.parent.mkdir()
    path.write_text("sentence1\tsentence2\tscore\na\tb\t1\n")
    return path


def test_collections_and_general_sets_are_told_apart(pairs):
    given = evaluation_inputs(Config(), [Path("a/docs"), pairs, Path("b/docs")], ["SciFact"])
    assert list(given.collections) == ["docs", "docs-2"]
    for config, path in zip(given.collections.values(), ("a/docs", "b/docs"), strict=True):
        assert config.ingest.source.path == config.split.labels.path == Path(path)
    assert [g.type for g in given.sets] == ["similarity", "mteb"]
    assert given.sets[0].file == pairs


def test_configured_documents_are_measured_unless_only_general_sets_are_asked_for(pairs):
    docstrings = load_config(values={"ingest": {"source": {"type": "docstrings"}}})
    assert list(evaluation_inputs(docstrings).collections) == ["docstrings"]
    with pytest.raises(UserError, match="no workspace"):
        evaluation_inputs(Config(workspace=pairs.parent))
    assert list(evaluation_inputs(Config(), [pairs]).collections) == []
    assert list(evaluation_inputs(Config(), (), ["SciFact"]).collections) == []
    chosen = load_config(values={"ingest": {"source": {"type": "auto", "path": "x/mine"}}})
    assert evaluation_inputs(chosen, (), ["SciFact"]).collections == {"mine": chosen}
    guarded = load_config(values={"evaluate": {"guards": [{"type": "mteb", "task": "SciFact"}]}})
    assert evaluation_inputs(guarded).collections == {}
    assert (
        evaluation_inputs(load_config(values={"model": {"name": "mine"}}), (), ["SciFact"]).collections == {}
    )


def test_labels_of_ones_own_stay_on_other_documents():
    clicks = {"type": "log", "path": "clicks.csv"}
    config = load_config(values={"split": {"labels": clicks}, "ingest": {"max_document_mb": 1}}).on(
        Path("docs")
    )
    assert config.split.labels.path == Path("clicks.csv")
    assert config.ingest.max_document_mb == 1


def test_a_run_goes_to_the_collection_that_is_named():
    given = evaluation_inputs(Config(), [Path("a"), Path("b")], (), {"b": [Path("x.trec")]})
    assert {n: c.evaluate.runs for n, c in given.collections.items()} == {"a": (), "b": (Path("x.trec"),)}
    with pytest.raises(UserError, match="one of a"):
        evaluation_inputs(Config(), [Path("a")], (), {"c": [Path("x.trec")]})
