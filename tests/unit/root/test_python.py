"""The front door for Python."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from toys import ToyEncoder

import embedlib
from embedlib.errors import DataError
from embedlib.python import evaluate, mine, run

DOCUMENTS = ["apple banana", "cherry date", "zebra quiz", "banana banana"]


def test_importing_embedlib_loads_nothing_and_is_quick() -> None:
    script = (
        "import sys, time\n"
        "before, started = set(sys.modules), time.perf_counter()\n"
        "import embedlib\n"
        "seconds = time.perf_counter() - started\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(seconds, *sorted(new - set(sys.stdlib_module_names)))\n"
    )
    seconds, *modules = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    assert modules == ["embedlib"]
    assert float(seconds) < 1  # 1 ms in quiet; a busy machine gets room, an import of torch does not


@pytest.mark.parametrize("name", [n for n in embedlib.__all__ if not n.startswith("_")])
def test_every_name_is_there_and_documented(name) -> None:
    assert name in dir(embedlib)
    assert getattr(embedlib, name).__doc__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        embedlib.magic  # noqa: B018


def test_evaluation_is_what_can_be_counted_by_hand() -> None:
    queries = ["apple banana", "zebra", "cherry"]
    found = evaluate(ToyEncoder(), DOCUMENTS, queries, [0, 2, [3]], measures=["RR@10", "R@1"])
    vectors = ToyEncoder().encode(DOCUMENTS)
    scores = ToyEncoder().encode(queries) @ vectors.T
    rank = 1 + int((scores[2] > scores[2, 3]).sum())
    assert found.values["toy"]["RR@10"].tolist() == [1, 1, 1 / rank]
    assert found.means["toy"]["RR@10"].mean == pytest.approx((2 + 1 / rank) / 3)
    assert found.comparisons == []


def test_models_are_compared_with_the_first() -> None:
    class Blind(ToyEncoder):
        name = "blind"

        def encode(self, texts, *, prompt="", progress=None):
            return np.full((len(texts), 27), 27**-0.5, dtype=np.float32)

    found = evaluate(
        [Blind(), ToyEncoder(), ToyEncoder()],
        DOCUMENTS,
        ["zebra", "date"],
        [2, 1],
        measures=["RR@10"],
        bm25=True,
    )
    assert list(found.means) == ["blind", "toy", "toy (2)", "bm25"]
    assert {(c.system, c.baseline) for c in found.comparisons} == {
        (n, "blind") for n in ("toy", "toy (2)", "bm25")
    }
    assert all(c.difference.mean > 0 for c in found.comparisons)


@pytest.mark.parametrize("relevant", [[0], [0, 9], [0, []], [0, [1, -1]]])
def test_judgements_that_fit_no_document_are_refused(relevant) -> None:
    with pytest.raises(DataError):
        evaluate(ToyEncoder(), DOCUMENTS, ["a", "b"], relevant)


@pytest.mark.parametrize("bm25", [True, False])
def test_negatives_are_no_answers_and_no_repeated_texts(bm25) -> None:
    pairs = [("apple", "apple banana"), ("zebra", "zebra quiz"), ("apple", "apple apple")]
    rows = mine(pairs, [*DOCUMENTS, "apple pie"], model=ToyEncoder(), negatives=2, margin=0.0, bm25=bm25)
    assert {row["query"] for row in rows} == {"apple", "zebra"}
    for row in rows:
        negatives = {row["negative_1"], row["negative_2"]}
        assert len(negatives) == 2
        answers = {positive for query, positive in pairs if query == row["query"]}
        assert not negatives & answers


def test_pairs_without_enough_negatives_are_left_out() -> None:
    assert mine([("apple", "apple"), ("pear", "pear")], model=ToyEncoder(), negatives=3) == []
    with pytest.raises(DataError, match="no pair"):
        mine([], model=ToyEncoder())


def test_a_run_is_the_lifecycle_with_its_options(monkeypatch) -> None:
    started = {}
    monkeypatch.setattr(
        "embedlib.cli.app.start_flow", lambda name, **p: started.update({name: p["config"]}) or ("done", 0)
    )
    assert run("docs", "ws", train__epochs=2, seed=7) == "done"
    config = started["lifecycle"]
    assert (str(config.workspace), config.train.epochs, config.seed) == ("ws", 2, 7)
    assert str(config.ingest.source.path) == "docs"
    run(config)
    assert started["lifecycle"] is config
    with pytest.raises(DataError, match="beside a configuration"):
        run(config, seed=3)


def test_columns_arrays_and_tuples_are_taken_as_lists_are() -> None:
    import pandas as pd

    columns = pd.DataFrame({"text": ["left out", *DOCUMENTS]}, index=[9, 8, 7, 6, 5])["text"].iloc[1:]
    lists = evaluate([ToyEncoder()], DOCUMENTS, ["apple", "zebra"], [0, [2]])
    found = evaluate((ToyEncoder(),), columns, np.array(["apple", "zebra"]), np.array([[0], [2]]))
    assert found.means == lists.means
    pairs = [("apple", "apple banana")]
    assert mine(iter(pairs), columns, model=ToyEncoder(), negatives=1) == mine(
        pairs, DOCUMENTS, model=ToyEncoder(), negatives=1
    )
