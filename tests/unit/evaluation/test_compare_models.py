"""Models compared on a small corpus: hand-computable quality, paired with the first, beside BM25."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_data import write_corpus, write_queries
from local_server import LocalServer
from toys import ToyEncoder

from embedlib.errors import ModelError, UserError
from embedlib.evaluation.compare_models import Trial, compare_models
from embedlib.evaluation.judged import JudgedSet, read_judged
from embedlib.models.opening import open_encoder

QUERIES = [
    ("q1", "pie with apples", "test", "human", None, {"d1": 1}),
    ("q2", "butter", "test", "human", None, {"d2": 1}),
    ("q3", "jam of figs", "test", "human", None, {"d6": 1}),
    ("q4", "fried rice", "test", "human", None, {"d5": 1}),
]


class Backwards(ToyEncoder):
    """Puts the least alike first."""

    name = "backwards"

    def encode_queries(self, texts, *, progress=None):  # type: ignore[no-untyped-def]
        return -self.encode(texts)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    corpus = write_corpus(tmp_path / "corpus")
    judged: JudgedSet = read_judged(corpus, write_queries(tmp_path / "queries", QUERIES), "test")["human"]
    return Trial(corpus, judged, measures=("nDCG@10", "R@1"), seconds=0)


def test_each_model_has_its_figures_and_its_difference_to_the_first(trial: Trial) -> None:
    made = {"toy": ToyEncoder(), "backwards": Backwards()}
    found = compare_models(
        list(made), trial, rng=np.random.default_rng(0), open_model=made.__getitem__, draws=200
    )
    rows = {row.model: row for row in found.rows}
    assert list(rows) == ["toy", "backwards", "bm25"]
    assert rows["toy"].quality["R@1"].mean == 1.0  # letter overlap finds all four
    assert rows["backwards"].quality["R@1"].mean == 0.0
    assert rows["toy"].dimension == 27
    assert rows["toy"].documents_per_s is not None
    assert rows["toy"].efficiency is not None
    assert [s.batch_size for s in rows["toy"].efficiency.speeds] == [1, 32]
    assert rows["bm25"].efficiency is None
    worse = next(c for c in found.comparisons if (c.system, c.measure) == ("backwards", "R@1"))
    assert (worse.baseline, worse.difference.mean, worse.worse) == ("toy", -1.0, 4)
    assert found.as_dict()["models"][0]["quality"]["R@1"]["n"] == 4


def test_documents_are_encoded_once_a_model(trial: Trial) -> None:
    encoder = ToyEncoder()
    quiet = Trial(trial.corpus, trial.judged, trial.measures, seconds=0)
    compare_models(
        ["http://h/v1#m"], quiet, rng=np.random.default_rng(0), open_model=lambda _: encoder, draws=200
    )
    assert len(encoder.texts) == 6 + 4


def test_an_api_model_is_compared_and_billed_but_not_timed_for_money(trial: Trial) -> None:
    with LocalServer() as server:
        name = f"{server.url}/v1#toy"
        found = compare_models([name], trial, rng=np.random.default_rng(0), draws=200)
        assert sorted(server.texts) == sorted([*trial.corpus.texts(), *trial.judged.query_texts])
    row = found.rows[0]
    assert row.quality["R@1"].mean == 1.0
    assert row.efficiency is None
    assert row.cost == 0.0


@pytest.mark.parametrize("names", [[], ["toy", "toy"]])
def test_models_are_named_once(trial: Trial, names: list[str]) -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        compare_models(names, trial, rng=np.random.default_rng(0))


def test_opening_by_name(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_encoder(str(tiny_model), dimension=16).dimension == 16
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-0123456789")
    api = open_encoder("openai:text-embedding-3-small")
    assert (api.max_length, api.client.settings.price.input_per_million) == (8191, 0.02)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="pooling"):
        open_encoder("openai:text-embedding-3-small", pooling="cls")
