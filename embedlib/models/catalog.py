"""The catalog of known models: facts with their sources, checked when it is read."""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from embedlib.errors import DataError, counted

CATALOG = Path(__file__).with_name("catalog.yaml")
SCHEMA_VERSION = 1

Measure = Literal["mteb-v1-mean", "mteb-v1-retrieval", "mteb-v2-mean", "mteb-v2-retrieval"]

#: What each measure is; figures of different measures are never compared with one another.
MEASURES: dict[str, str] = {
    "mteb-v1-mean": "MTEB(eng, v1): mean over its 56 English data sets of all task types",
    "mteb-v1-retrieval": "MTEB(eng, v1): mean nDCG@10 over its 15 retrieval data sets (BEIR)",
    "mteb-v2-mean": "MTEB(eng, v2): mean over its 41 English tasks",
    "mteb-v2-retrieval": "MTEB(eng, v2): mean nDCG@10 over its 10 retrieval tasks",
}


class Fact(BaseModel):
    """Frozen, and nothing beside the named fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Score(Fact):
    """A published figure; without a source it has no place here."""

    measure: Measure
    """What was measured, see ``MEASURES``."""
    value: float = Field(ge=0, le=100)
    """In percent."""
    source: str = Field(pattern=r"^(https?://\S+|arXiv:\S+)$")
    """Where it is published."""
    date: date
    """When it was published there."""


class PublishedPrice(Fact):
    """A price as published."""

    usd_per_million_tokens: float = Field(ge=0)
    """US dollars per million input tokens."""
    source: str = Field(pattern=r"^https?://\S+$")
    """Where it is published."""
    date: date
    """When it was published or read there."""


class KnownModel(Fact):
    """One model."""

    name: str = Field(pattern=r"^\S+$")
    """What ``load_encoder`` takes: a hub name, or ``openai:…``, ``cohere:…``, ``voyage:…``."""
    provider: Literal["local", "openai", "cohere", "voyage"]
    """Who runs it; local models have open weights and can be fine-tuned."""
    dimension: int = Field(ge=1)
    """Components of its vectors."""
    parameters_millions: float | None = Field(default=None, gt=0)
    """All parameters, in millions; null when not published."""
    embedding_parameters_millions: float = Field(default=0.0, ge=0)
    """Those of the token embedding table, which cost memory and no computation."""
    context_tokens: int = Field(ge=1)
    """Tokens that it can see of a text."""
    licence: str
    """SPDX identifier of the weights' licence, or ``proprietary``."""
    commercial_use: bool = True
    """Whether the licence allows commercial use."""
    languages: list[str] = Field(min_length=1)
    """ISO 639-1 codes, or ``multilingual`` for about a hundred languages."""
    domains: list[str] = ["general"]
    """Subjects it was made for."""
    query_prompt: str = ""
    """What its authors put before a query."""
    document_prompt: str = ""
    """What its authors put before a document."""
    matryoshka: list[int] = []
    """Dimensions to which its vectors may be cut."""
    needs_remote_code: bool = False
    """Whether loading it runs code from its repository (``trust_remote_code``)."""
    price: PublishedPrice | None = None
    """Of an API."""
    scores: list[Score] = []
    """Published figures."""
    source: str = Field(pattern=r"^https?://\S+$")
    """Where the facts above are published."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.provider == "local") == (":" in self.name):
            raise ValueError("an API's model is named provider:model, a local one by its hub name")
        if self.provider != "local" and not self.name.startswith(self.provider + ":"):
            raise ValueError(f"the name of a model of {self.provider} starts with {self.provider}:")
        if self.provider == "local" and self.price is not None:
            raise ValueError("a model that runs here has no price")
        if any(d > self.dimension for d in self.matryoshka):
            raise ValueError(f"matryoshka dimensions above the full one, {self.dimension}")
        twice = [m for m, n in Counter(s.measure for s in self.scores).items() if n > 1]
        if twice:
            raise ValueError(f"more than one score for {', '.join(twice)}")
        return self

    @property
    def is_api(self) -> bool:
        """Whether texts leave this machine."""
        return self.provider != "local"

    def score(self, measure: str) -> Score | None:
        """The published figure for one measure, if there is one."""
        return next((s for s in self.scores if s.measure == measure), None)

    def memory_mb(self) -> float | None:
        """MiB that the weights take as fp32, in memory and on disk; None when the size is not known."""
        if self.parameters_millions is None:
            return None
        return self.parameters_millions * 1e6 * 4 / (1 << 20)

    def speaks(self, language: str) -> bool:
        """Whether it was trained for a language (ISO 639-1 code)."""
        return "multilingual" in self.languages or language in self.languages


def find_model(name: str) -> KnownModel | None:
    """A known model by its name, or by the part behind the last slash; None when it is not known."""
    models, short = load_catalog(), name.rstrip("/").rsplit("/", 1)[-1].lower()
    by_name = (m for m in models if m.name.lower() == name.lower())
    by_short = (m for m in models if m.name.rsplit("/", 1)[-1].lower() == short)
    return next(by_name, None) or next(by_short, None)


@lru_cache(maxsize=8)
def load_catalog(path: Path = CATALOG) -> tuple[KnownModel, ...]:
    """Read and check a catalog file: its models in their order.

    Args:
        path: YAML with ``schema_version`` and a list ``models``, see ``KnownModel``.

    Raises:
        DataError: Not such a file; every mistake is named with its entry and field.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(
            "the catalog cannot be read", where=str(path), found=str(error), expected="a YAML file"
        ) from error
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != SCHEMA_VERSION or not isinstance(raw.get("models"), list):
        raise DataError(
            "not a catalog of this schema version",
            where=str(path),
            expected=f"schema_version: {SCHEMA_VERSION} and a list of models",
            found=f"schema_version: {found}",
        )
    return tuple(_models(raw["models"], path))


def _models(entries: list[Any], path: Path) -> list[KnownModel]:
    models, problems = [], []
    for number, entry in enumerate(entries, start=1):
        name = entry.get("name", "without a name") if isinstance(entry, dict) else "not a mapping"
        try:
            models.append(KnownModel.model_validate(entry))
        except ValidationError as error:
            for item in error.errors(include_url=False):
                field = ".".join(map(str, item["loc"]))
                problems.append(f"entry {number} ({name}): {field}: {item['msg']}")
    problems += [f"{name} stands twice" for name, n in Counter(m.name for m in models).items() if n > 1]
    if problems:
        raise DataError(
            f"{counted(len(problems), 'mistake')} in the catalog" + "".join(f"\n  - {p}" for p in problems),
            where=str(path),
        )
    return models
