"""Which model to start from: requirements in, a ranking and what ruled the others out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from embedlib.models.catalog import KnownModel, Measure

#: Multiply-add throughput reached by an encoder of this size class, in FLOP/s. CPU: 8–10 thousand
#: tokens/s of all-MiniLM-L6-v2 in fp32 on two cores; GPU: a cautious share of a data-centre card.
FLOPS = {"cpu": 2e11, "gpu": 3e13}
#: What a call costs before the first multiplication, in ms: tokenizer, launches.
OVERHEAD_MS = 3.0
#: Millions of parameters above which a corpus cannot be encoded on a CPU in useful time.
CPU_LIMIT_MILLIONS = 1000.0


class Requirements(BaseModel):
    """What the model has to meet; what is None or False does not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    measure: Measure = "mteb-v1-retrieval"
    """Figure that quality is judged and ranked by; others are never mixed in."""
    min_quality: float | None = Field(default=None, ge=0, le=100)
    """Least value of the measure, in percent."""
    max_latency_ms: float | None = Field(default=None, gt=0)
    """Longest time to encode one query, in milliseconds."""
    query_tokens: int = Field(default=32, ge=1)
    """Tokens of a query, for the latency."""
    max_memory_mb: float | None = Field(default=None, gt=0)
    """Most memory for the weights, in MiB; an API needs none."""
    max_price: float | None = Field(default=None, ge=0)
    """Most US dollars per million tokens; what runs here costs none."""
    gpu: bool = False
    """Whether a GPU is at hand."""
    api_allowed: bool = True
    """Whether texts may leave this machine."""
    fine_tunable: bool = False
    """Whether the model is to be fine-tuned here."""
    document_tokens: int | None = Field(default=None, ge=1)
    """Tokens of a document that must be seen in one piece."""
    languages: list[str] = Field(default=["en"], min_length=1)
    """ISO 639-1 codes of the texts' languages."""
    domain: str | None = None
    """Subject of the texts; models made for it come first among equals."""
    max_dimension: int | None = Field(default=None, ge=1)
    """Most components a vector (the index grows with it); Matryoshka models can be cut."""
    commercial: bool = False
    """Whether the licence has to allow commercial use."""
    prefer: Literal["quality", "speed", "memory", "price"] = "quality"
    """What the models that meet everything are ranked by."""


@dataclass(frozen=True)
class Objection:
    """Why a model is ruled out; ``unknown`` when only for lack of a figure."""

    requirement: str
    reason: str
    unknown: bool = False


@dataclass(frozen=True)
class ModelCandidate:
    """A model that meets every requirement, and what speaks for it.

    Args:
        model: The catalog's entry; ``model.score(measure)`` gives the figure's source.
        quality: The measure's figure, in percent; None when none is published.
        latency_ms: To encode one query, estimated; None for an API.
        memory_mb: MiB of the weights.
        price: US dollars per million tokens.
        dimension: The largest on offer within the wanted one.
        reasons: What speaks for it, for people.
        caveats: What to look at before choosing it.
    """

    model: KnownModel
    quality: float | None
    latency_ms: float | None
    memory_mb: float | None
    price: float
    dimension: int
    reasons: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RuledOut:
    """A model that does not, and every reason."""

    model: KnownModel
    objections: list[Objection]


@dataclass(frozen=True)
class Recommendation:
    """Best first, and those ruled out in the catalog's order."""

    ranked: list[ModelCandidate]
    ruled_out: list[RuledOut]


def recommend(requirements: Requirements, catalog: Iterable[KnownModel]) -> Recommendation:
    """Rank the catalog's models against requirements.

    A requirement for which a model's figure is unknown rules it out, and says that it is unknown:
    a floor that is not known to be met is not met.

    Returns:
        Every model of the catalog, either ranked or ruled out.
    """
    ranked, ruled_out = [], []
    for model in catalog:
        objections = [o for check in _CHECKS for o in check(model, requirements)]
        if objections:
            ruled_out.append(RuledOut(model, objections))
        else:
            ranked.append(_candidate(model, requirements))
    return Recommendation(sorted(ranked, key=lambda c: _rank(c, requirements)), ruled_out)


def latency_estimate_ms(model: KnownModel, tokens: int, device: Literal["cpu", "gpu"]) -> float | None:
    """Milliseconds to encode one text: 2·N floating-point operations a token and a fixed overhead.

    N counts the parameters that compute, without the embedding table (Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1). None for an API or when N is not published.
    """
    if model.is_api or model.parameters_millions is None:
        return None
    active = (model.parameters_millions - model.embedding_parameters_millions) * 1e6
    return OVERHEAD_MS + 1000 * 2 * active * tokens / FLOPS[device]


def _device(r: Requirements) -> Literal["cpu", "gpu"]:
    return "gpu" if r.gpu else "cpu"


def _latency(model: KnownModel, r: Requirements) -> float | None:
    return latency_estimate_ms(model, r.query_tokens, _device(r))


def _memory(model: KnownModel) -> float | None:
    return 0.0 if model.is_api else model.memory_mb()


def _price(model: KnownModel) -> float | None:
    if not model.is_api:
        return 0.0
    return model.price.usd_per_million_tokens if model.price else None


def _dimension(model: KnownModel, most: int | None) -> int:
    """The largest dimension on offer that is not above ``most``; the full one if none is."""
    fitting = [d for d in (model.dimension, *model.matryoshka) if most is None or d <= most]
    return max(fitting, default=model.dimension)


def _ceiling(name: str, value: float | None, most: float | None, unit: str, what: str) -> Iterator[Objection]:
    if most is None:
        return
    if value is None:
        yield Objection(name, f"{what} is not known; measure it (embedlib evaluate)", unknown=True)
    elif value > most:
        yield Objection(name, f"{what} {_number(value)} {unit}, at most {_number(most)} wanted")


def _check_place(model: KnownModel, r: Requirements) -> Iterator[Objection]:
    if model.is_api and not r.api_allowed:
        yield Objection("api_allowed", "texts would leave this machine")
    if model.is_api and r.fine_tunable:
        yield Objection("fine_tunable", "its weights are not open")
    too_big = (model.parameters_millions or 0) > CPU_LIMIT_MILLIONS
    if not model.is_api and not r.gpu and too_big:
        yield Objection("gpu", f"{model.parameters_millions:,.0f} million parameters need a GPU")


def _check_quality(model: KnownModel, r: Requirements) -> Iterator[Objection]:
    if r.min_quality is None:
        return
    score = model.score(r.measure)
    if score is None:
        yield Objection("min_quality", f"no sourced figure for {r.measure}", unknown=True)
    elif score.value < r.min_quality:
        yield Objection("min_quality", f"{r.measure} {score.value:.1f}, at least {r.min_quality:.1f} wanted")


def _check_cost(model: KnownModel, r: Requirements) -> Iterator[Objection]:
    yield from _ceiling("max_latency_ms", _latency(model, r), r.max_latency_ms, "ms", "latency")
    yield from _ceiling("max_memory_mb", _memory(model), r.max_memory_mb, "MiB", "memory")
    yield from _ceiling("max_price", _price(model), r.max_price, "$ per million tokens", "price")


def _check_texts(model: KnownModel, r: Requirements) -> Iterator[Objection]:
    if r.document_tokens and model.context_tokens < r.document_tokens:
        yield Objection(
            "document_tokens", f"sees {model.context_tokens:,} tokens, documents have {r.document_tokens:,}"
        )
    missing = [code for code in r.languages if not model.speaks(code)]
    if missing:
        yield Objection("languages", f"not made for {', '.join(missing)}")
    domains = {*model.domains}
    if "general" not in domains and r.domain not in domains:
        yield Objection("domain", f"made for {', '.join(model.domains)}")


def _check_use(model: KnownModel, r: Requirements) -> Iterator[Objection]:
    if r.max_dimension and _dimension(model, r.max_dimension) > r.max_dimension:
        yield Objection("max_dimension", f"{model.dimension} components and not made to be cut")
    if r.commercial and not model.commercial_use:
        yield Objection("commercial", f"licence {model.licence}")


_CHECKS: tuple[Callable[[KnownModel, Requirements], Iterator[Objection]], ...] = (
    _check_place,
    _check_quality,
    _check_cost,
    _check_texts,
    _check_use,
)


def _candidate(model: KnownModel, r: Requirements) -> ModelCandidate:
    score = model.score(r.measure)
    latency, memory, price = _latency(model, r), _memory(model), _price(model)
    reasons, caveats = [], []
    if score:
        reasons.append(f"{r.measure} {score.value:.1f} ({score.date})")
    else:
        caveats.append(f"no sourced figure for {r.measure}: measure it on your data (embedlib evaluate)")
    if latency is not None:
        reasons.append(f"{latency:.0f} ms a query (estimated, {_device(r)})")
    reasons.append(f"${price:g} per million tokens" if model.is_api and price is not None else _size(memory))
    reasons.append(f"sees {model.context_tokens:,} tokens, {model.dimension} components, {model.licence}")
    if r.domain and r.domain in model.domains:
        reasons.append(f"made for {r.domain}")
    elif r.domain:
        caveats.append(f"no published figure for {r.domain}: compare on your own documents")
    if model.needs_remote_code:
        caveats.append("loading it runs code from its repository (trust_remote_code)")
    dimension = _dimension(model, r.max_dimension)
    if dimension < model.dimension:
        reasons.append(f"can be cut to {dimension} components (Matryoshka)")
    return ModelCandidate(
        model, score.value if score else None, latency, memory, price or 0.0, dimension, reasons, caveats
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _size(memory: float | None) -> str:
    return "runs here" if memory is None else f"runs here in {memory:,.0f} MiB (fp32 weights)"


def _rank(candidate: ModelCandidate, r: Requirements) -> tuple[float | str, ...]:
    """Sort key: what is preferred, then quality, price, memory, name; unknown figures last."""
    quality = math.inf if candidate.quality is None else -candidate.quality
    speed = math.inf if candidate.latency_ms is None else candidate.latency_ms
    memory = math.inf if candidate.memory_mb is None else candidate.memory_mb
    first = {"quality": quality, "speed": speed, "memory": memory, "price": candidate.price}[r.prefer]
    other_domain = float(r.domain is not None and r.domain not in candidate.model.domains)
    return (first, other_domain, quality, candidate.price, memory, candidate.model.name)
