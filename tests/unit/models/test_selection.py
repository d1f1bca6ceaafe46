"""Recommendations: every requirement rules out what it should, and says why; ranks are explained."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from embedlib.models.catalog import KnownModel, PublishedPrice, Score, load_catalog
from embedlib.models.selection import (
    Recommendation,
    Requirements,
    latency_estimate_ms,
    recommend,
)


def model(name: str, retrieval: float | None = None, mean: float | None = None, **facts: Any) -> KnownModel:
    figures = {"mteb-v1-retrieval": retrieval, "mteb-v1-mean": mean}
    scores = [
        Score(measure=m, value=v, source="https://x.org", date=date(2024, 1, 1))  # type: ignore[arg-type]
        for m, v in figures.items()
        if v is not None
    ]
    whole = {
        "provider": name.split(":", maxsplit=1)[0] if ":" in name else "local",
        "dimension": 384,
        "context_tokens": 512,
        "licence": "MIT",
        "languages": ["en"],
        "source": "https://x.org",
        "parameters_millions": None if ":" in name else 100.0,
        **facts,
    }
    return KnownModel(name=name, scores=scores, **whole)


def priced(dollars: float) -> PublishedPrice:
    return PublishedPrice(usd_per_million_tokens=dollars, source="https://x.org", date=date(2024, 1, 1))


SMALL = model("small", 50, 60, parameters_millions=20.0)
LARGE = model(
    "large", 56, 58, parameters_millions=500.0, dimension=1024, context_tokens=8192, matryoshka=[256]
)
GIANT = model("giant", 60, 70, parameters_millions=7000.0, dimension=4096)
UNKNOWN = model("unknown")
API = model(
    "openai:api", 55, 62, dimension=1536, context_tokens=8191, licence="proprietary", price=priced(0.1)
)
NO_PRICE = model("openai:unpriced", 52, licence="proprietary")
POLYGLOT = model("polyglot", 51, 61, languages=["multilingual"])
NON_COMMERCIAL = model("nc", 53, licence="CC-BY-NC-4.0", commercial_use=False)
LAW = model("voyage:law", domains=["law"], licence="proprietary", price=priced(0.12))
ALL = [SMALL, LARGE, GIANT, UNKNOWN, API, NO_PRICE, POLYGLOT, NON_COMMERCIAL, LAW]


def ask(**requirements: Any) -> Recommendation:
    return recommend(Requirements(**requirements), ALL)


def names(result: Recommendation) -> list[str]:
    return [c.model.name for c in result.ranked]


def reason(result: Recommendation, name: str) -> str:
    return "; ".join(o.reason for r in result.ruled_out if r.model.name == name for o in r.objections)


def test_without_requirements_quality_ranks_and_the_unmeasured_come_last() -> None:
    result = ask()
    assert names(result) == ["large", "openai:api", "nc", "openai:unpriced", "polyglot", "small", "unknown"]
    assert "need a GPU" in reason(result, "giant")
    assert "made for law" in reason(result, "voyage:law")
    assert "no sourced figure" in result.ranked[-1].caveats[0]


@pytest.mark.parametrize(
    ("requirements", "out"),
    [
        (
            {"min_quality": 52},
            {"small": "50.0, at least 52.0", "polyglot": "51.0", "unknown": "no sourced figure"},
        ),
        ({"max_memory_mb": 400}, {"large": "1,907 MiB, at most 400"}),
        ({"max_price": 0.05}, {"openai:api": "price 0.1", "openai:unpriced": "not known"}),
        (
            {"api_allowed": False},
            {"openai:api": "leave this machine", "openai:unpriced": "leave this machine"},
        ),
        ({"fine_tunable": True}, {"openai:api": "not open", "openai:unpriced": "not open"}),
        ({"document_tokens": 4000}, {"small": "sees 512 tokens, documents have 4,000"}),
        ({"languages": ["en", "de"]}, {"small": "not made for de", "large": "not made for de"}),
        ({"max_dimension": 300}, {"small": "384 components and not made to be cut", "openai:api": "1536"}),
        ({"commercial": True}, {"nc": "CC-BY-NC-4.0"}),
        ({"max_latency_ms": 30}, {"large": "latency", "openai:api": "latency is not known"}),
    ],
)
def test_each_requirement_rules_out_and_says_why(requirements: dict[str, Any], out: dict[str, str]) -> None:
    plain, result = ask(), ask(**requirements)
    for name, text in out.items():
        assert name in names(plain)
        assert name not in names(result)
        assert text in reason(result, name)


def test_matryoshka_meets_a_dimension_by_being_cut() -> None:
    result = ask(max_dimension=300)
    assert names(result) == ["large"]
    assert result.ranked[0].dimension == 256
    assert any("cut to 256" in r for r in result.ranked[0].reasons)


def test_overall_and_retrieval_figures_are_never_mixed() -> None:
    """By the mean, small (60) beats large (58); by retrieval it is the other way round."""
    by_mean = names(ask(measure="mteb-v1-mean"))
    assert by_mean.index("small") < by_mean.index("large")
    by_retrieval = names(ask())
    assert by_retrieval.index("large") < by_retrieval.index("small")
    only_mean = [model("only-mean", mean=99)]
    result = recommend(Requirements(min_quality=10), only_mean)
    assert result.ranked == []
    assert result.ruled_out[0].objections[0].unknown


def test_a_gpu_lets_large_models_in_and_makes_them_fast() -> None:
    assert names(ask(gpu=True))[0] == "giant"
    cpu, gpu = latency_estimate_ms(GIANT, 32, "cpu"), latency_estimate_ms(GIANT, 32, "gpu")
    assert cpu is not None
    assert gpu is not None
    assert cpu / gpu > 50


def test_the_latency_estimate_counts_only_what_computes() -> None:
    """2 * (100 - 40) million * 32 tokens = 3.84 GFLOP at 0.2 TFLOP/s is 19.2 ms, and 3 ms overhead."""
    with_table = model("m", parameters_millions=100.0, embedding_parameters_millions=40.0)
    assert latency_estimate_ms(with_table, 32, "cpu") == pytest.approx(19.2 + 3.0)
    assert latency_estimate_ms(API, 32, "cpu") is None


@pytest.mark.parametrize(
    ("prefer", "first"),
    [("quality", "large"), ("speed", "small"), ("memory", "openai:api"), ("price", "large")],
)
def test_preferences(prefer: str, first: str) -> None:
    assert names(ask(prefer=prefer))[0] == first


def test_a_domain_lets_its_models_in_and_warns_of_the_others() -> None:
    result = ask(domain="law", prefer="price", api_allowed=True)
    assert "voyage:law" in names(result)
    general = next(c for c in result.ranked if c.model.name == "large")
    assert any("law" in caveat for caveat in general.caveats)
    same = [model("a-general", 50), model("z-lawyer", 50, domains=["general", "law"])]
    assert names(recommend(Requirements(domain="law"), same))[0] == "z-lawyer"


@pytest.mark.parametrize(
    "bad",
    [{"min_quality": 101}, {"measure": "mteb"}, {"languages": []}, {"prefer": "luck"}, {"min_qualty": 50}],
)
def test_requirements_are_checked(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Requirements(**bad)


limits = st.fixed_dictionaries(
    {},
    optional={
        "min_quality": st.floats(30, 65),
        "max_latency_ms": st.floats(1, 500),
        "max_memory_mb": st.floats(50, 5000),
        "max_price": st.floats(0, 0.2),
        "gpu": st.booleans(),
        "api_allowed": st.booleans(),
        "fine_tunable": st.booleans(),
        "document_tokens": st.integers(1, 32000),
        "languages": st.sampled_from([["en"], ["de"], ["en", "fr"]]),
        "max_dimension": st.integers(32, 4096),
        "commercial": st.booleans(),
        "prefer": st.sampled_from(["quality", "speed", "memory", "price"]),
    },
)


@given(limits)
def test_every_model_is_ranked_or_ruled_out_and_what_is_ranked_meets_everything(
    wanted: dict[str, Any],
) -> None:
    catalog, requirements = load_catalog(), Requirements(**wanted)
    result = recommend(requirements, catalog)
    ranked, out = names(result), [r.model.name for r in result.ruled_out]
    assert sorted(ranked + out) == sorted(m.name for m in catalog)
    assert all(r.objections for r in result.ruled_out)
    for c in result.ranked:
        assert requirements.min_quality is None or (c.quality or 0) >= requirements.min_quality
        assert requirements.max_memory_mb is None or (c.memory_mb or 0) <= requirements.max_memory_mb
        assert requirements.max_price is None or c.price <= requirements.max_price
        assert requirements.max_dimension is None or c.dimension <= requirements.max_dimension
        assert all(c.model.speaks(code) for code in requirements.languages)
        assert not (c.model.is_api and (requirements.fine_tunable or not requirements.api_allowed))


@given(limits, st.floats(30, 65))
def test_a_higher_floor_never_lets_a_model_in(wanted: dict[str, Any], floor: float) -> None:
    catalog = load_catalog()
    wanted["min_quality"] = floor
    stricter = {**wanted, "min_quality": min(100.0, floor + 5)}
    lower = names(recommend(Requirements(**wanted), catalog))
    higher = names(recommend(Requirements(**stricter), catalog))
    assert higher == [n for n in lower if n in set(higher)]
