"""The catalog file keeps to its schema, its rules and its sources; mistakes are named by entry."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedlib.errors import DataError
from embedlib.models.api_protocols import is_api_spec
from embedlib.models.catalog import CATALOG, MEASURES, KnownModel, find_model, load_catalog
from embedlib.models.prompts import Prompts, known_prompts


@pytest.fixture(scope="module")
def catalog() -> tuple[KnownModel, ...]:
    return load_catalog()


@pytest.mark.parametrize(
    "name",
    [
        "openai:text-embedding-3-small",
        "openai:text-embedding-3-large",
        "cohere:embed-english-v3.0",
        "voyage:voyage-3",
        "BAAI/bge-small-en-v1.5",
        "BAAI/bge-base-en-v1.5",
        "BAAI/bge-large-en-v1.5",
        "thenlper/gte-small",
        "thenlper/gte-base",
        "thenlper/gte-large",
        "intfloat/e5-small-v2",
        "intfloat/e5-base-v2",
        "intfloat/e5-large-v2",
        "intfloat/multilingual-e5-large",
        "intfloat/e5-mistral-7b-instruct",
        "Alibaba-NLP/gte-Qwen2-7B-instruct",
        "nomic-ai/nomic-embed-text-v1.5",
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-mpnet-base-v2",
    ],
)
def test_the_models_in_common_use_are_there(catalog: tuple[KnownModel, ...], name: str) -> None:
    assert find_model(name).name == name


def test_every_figure_has_a_source_and_every_measure_a_meaning(catalog: tuple[KnownModel, ...]) -> None:
    figures = [score for model in catalog for score in model.scores]
    assert len(figures) >= 80
    assert {score.measure for score in figures} == set(MEASURES)
    assert all(score.source and score.date for score in figures)


def test_figures_of_one_measure_come_from_comparable_sources(catalog: tuple[KnownModel, ...]) -> None:
    """The three measures worked out from the results repository all name the same commit of it."""
    for measure in ("mteb-v1-retrieval", "mteb-v2-mean", "mteb-v2-retrieval"):
        sources = {s.source for m in catalog if (s := m.score(measure))}
        assert len(sources) == 1
        assert next(iter(sources)).startswith("https://github.com/embeddings-benchmark/results/tree/")


def test_overall_and_retrieval_figures_are_apart(catalog: tuple[KnownModel, ...]) -> None:
    model = find_model("sentence-transformers/all-MiniLM-L6-v2")
    overall, retrieval = model.score("mteb-v1-mean"), model.score("mteb-v1-retrieval")
    assert overall is not None
    assert retrieval is not None
    assert (overall.value, retrieval.value) == (56.26, 41.95)


def test_the_facts_of_the_packaged_model_are_those_of_its_files(
    catalog: tuple[KnownModel, ...], minilm: Path
) -> None:
    from embedlib.models.efficiency import weights_mb
    from embedlib.models.local import load_encoder

    encoder = load_encoder(minilm)
    fact = find_model("all-MiniLM-L6-v2")
    assert weights_mb(encoder) == pytest.approx(fact.parameters_millions * 4e6 / 2**20, rel=0.005)
    assert weights_mb(encoder) == pytest.approx(fact.memory_mb(), rel=0.005)
    assert (encoder.dimension, encoder.max_length) == (fact.dimension, fact.context_tokens)
    table = encoder.module[0].auto_model.embeddings.word_embeddings.weight.numel()
    assert table == pytest.approx(fact.embedding_parameters_millions * 1e6, rel=0.005)


def test_prompts_are_those_that_encoders_apply(catalog: tuple[KnownModel, ...]) -> None:
    for model in catalog:
        if not model.is_api:
            applied = known_prompts(model.name) or Prompts()
            assert (model.query_prompt, model.document_prompt) == applied, model.name


def test_api_names_are_ones_that_can_be_loaded(catalog: tuple[KnownModel, ...]) -> None:
    assert all(is_api_spec(model.name) == model.is_api for model in catalog)


def test_models_are_found_by_their_short_name_too(catalog: tuple[KnownModel, ...]) -> None:
    assert find_model("bge-m3").name == "BAAI/bge-m3"
    assert find_model("no-such-model") is None


def entry(**changes: Any) -> dict[str, Any]:
    whole = {
        "name": "org/model",
        "provider": "local",
        "dimension": 384,
        "context_tokens": 512,
        "licence": "MIT",
        "languages": ["en"],
        "source": "https://example.org/card",
        "scores": [
            {"measure": "mteb-v1-mean", "value": 50, "source": "arXiv:1234.5678", "date": "2024-01-01"}
        ],
    }
    return {**copy.deepcopy(whole), **changes}


def write(folder: Path, *entries: Any, **head: Any) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump({"schema_version": 1, "models": list(entries), **head}))
    return path


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dimension": 0}, "dimension"),
        ({"licence": None}, "licence"),
        ({"colour": "red"}, "colour"),
        ({"scores": [{"measure": "mteb-v1-mean", "value": 50, "date": "2024-01-01"}]}, "scores.0.source"),
        (
            {
                "scores": [
                    {"measure": "mteb-v1-mean", "value": 50, "source": "a friend", "date": "2024-01-01"}
                ]
            },
            "scores.0.source",
        ),
        (
            {"scores": [{"measure": "mteb", "value": 50, "source": "https://x.org", "date": "2024-01-01"}]},
            "scores.0.measure",
        ),
        (
            {"scores": [{"measure": "mteb-v1-mean", "value": 0.5, "source": "https://x.org"}]},
            "scores.0.date",
        ),
        ({"scores": entry()["scores"] * 2}, "more than one score"),
        ({"matryoshka": [512]}, "matryoshka dimensions above"),
        ({"name": "openai:model"}, "named provider:model"),
        ({"provider": "openai"}, "named provider:model"),
        ({"provider": "openai", "name": "cohere:model"}, "starts with openai:"),
        (
            {"price": {"usd_per_million_tokens": 1, "source": "https://x.org", "date": "2024-01-01"}},
            "has no price",
        ),
    ],
)
def test_mistakes_are_named_with_their_entry(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = write(tmp_path, entry(name="org/fine"), entry(**changes))
    with pytest.raises(DataError) as caught:
        load_catalog(path)
    assert problem in str(caught.value)
    assert f"entry 2 ({changes.get('name', 'org/model')})" in str(caught.value)
    assert str(path) in caught.value.where


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, entry(dimension=0), entry(), entry(), "text", {})
    with pytest.raises(DataError) as caught:
        load_catalog(path)
    for part in (
        "entry 1 (org/model): dimension",
        "org/model stands twice",
        "entry 4 (not a mapping)",
        "entry 5",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("head", [{"schema_version": 2}, {"models": None}])
def test_another_schema_is_refused(tmp_path: Path, head: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="schema version"):
        load_catalog(write(tmp_path, entry(), **head))


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    with pytest.raises(DataError, match="cannot be read"):
        load_catalog(path)
    path.write_text("models: [")
    with pytest.raises(DataError, match="cannot be read"):
        load_catalog(path)


def test_a_whole_entry_is_read_and_the_shipped_file_is_what_is_read_by_default(tmp_path: Path) -> None:
    assert [m.name for m in load_catalog(write(tmp_path, entry()))] == ["org/model"]
    shipped = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    assert len(load_catalog()) == len(shipped["models"])
