"""The scripts of ``examples/`` run."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from embedlib.models.local import load_encoder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> Callable[..., None]:
    """The ``main`` of a script."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_evaluate_two_models(tiny_model, capsys) -> None:
    example("evaluate_two_models")([str(tiny_model), str(tiny_model)])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("bm25") for line in lines)
    assert sum("nDCG@10" in line for line in lines) == 5
    assert any(line.startswith(f"{tiny_model} (2) - {tiny_model}: nDCG@10 +0.000") for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mine_negatives_for_the_library_trainer(tmp_path, capsys) -> None:
    example("mine_negatives")("all-MiniLM-L6-v2", str(tmp_path / "tuned"), steps=2)
    row = json.loads(capsys.readouterr().out.splitlines()[0].replace("'", '"'))
    assert set(row) == {"query", "positive", "negative_1", "negative_2"}
    assert load_encoder(tmp_path / "tuned").dimension == 384


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_life_cycle_and_a_search_in_what_it_made(tmp_path, tiny_model, capsys) -> None:
    places = ["forest", "river", "desert", "harbour", "meadow", "cellar", "orchard", "glacier"]
    animals = ["fox", "owl", "trout", "beetle", "horse", "raven", "toad", "lynx"]
    with (tmp_path / "docs.jsonl").open("w") as stream:
        for i in range(64):
            animal, place = animals[i % 8], places[i // 8]
            text = f"The {animal} lives near the {place}, sleeps by day and eats what the {place} gives it."
            stream.write(
                json.dumps(
                    {"_id": f"d{i}", "title": f"where the {animal} of the {place} lives", "text": text}
                )
                + "\n"
            )
    options = [f"model.name={tiny_model}", "train.epochs=1", "probe.enabled=false", "evaluate.guards=[]"]
    sets = [part for option in options for part in ("--set", option)]
    example("life_cycle")([str(tmp_path / "docs.jsonl"), str(tmp_path / "ws"), *sets])
    assert "is live" in capsys.readouterr().out
    example("search_and_context")([str(tmp_path / "ws"), "the fox of the forest", "-k", "3"])
    printed = capsys.readouterr().out
    assert "[1] where the " in printed
    assert printed.strip().endswith("the fox of the forest")
