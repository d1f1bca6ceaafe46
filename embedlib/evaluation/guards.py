"""General sets that a fine-tuned model must not do worse on: its insurance against forgetting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice

import numpy as np

from embedlib.contracts import Corpus, Doubles, content_hash
from embedlib.corpus.docstrings import docstring_documents, package_roots
from embedlib.corpus.records import Record
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.records import GeneralFigure, GuardFigure
from embedlib.evaluation.significance import bootstrap_mean, paired_bootstrap
from embedlib.evaluation.similarity import (
    SentencePairs,
    correlations,
    cosines,
    spearman_difference,
)
from embedlib.evaluation.statistics import Resampling
from embedlib.fingerprint import code_digest, digest
from embedlib.json_file import read_list, write_json
from embedlib.models.encoder import Encoder
from embedlib.store import Recipe, Store, Work

#: value of each query (retrieval) or cosine of each pair (similarity) by a system's name.
ValuesOf = Callable[["GuardSet", str], Doubles]

#: Packages whose docstrings are the default guard: embedlib's own dependencies, so always there.
PACKAGES = ("jinja2", "networkx", "numpy", "pydantic")
GUARD_DOCUMENTS, GUARD_WORDS, LEAST_DOCUMENTS = 600, 80, 100


@dataclass(frozen=True)
class GuardSet:
    """A retrieval or a similarity set with its margin.

    Args:
        name: As shown.
        content: What is asked of the model.
        margin: Most that may be lost.
        measure: Measure of a retrieval set.
    """

    name: str
    content: DevSet | SentencePairs
    margin: float
    measure: str = "nDCG@10"


def guard_values(guard: GuardSet, encoder: Encoder) -> Doubles:
    """What a model gives: each query's value, or each pair's cosine, [n]."""
    if isinstance(guard.content, SentencePairs):
        return cosines(encoder, guard.content)
    return guard.content.score(encoder, guard.measure)[1]


def guard_figure(guard: GuardSet, candidate: Doubles, base: Doubles, resampling: Resampling) -> GuardFigure:
    """Non-inferiority: the guard holds when the whole interval of the difference lies above -margin.

    ``candidate`` and ``base`` are what ``guard_values`` returns.
    """
    if isinstance(guard.content, SentencePairs):
        measure = "Spearman"
        after, before, difference = spearman_difference(candidate, base, guard.content.scores, resampling)
    else:
        measure, before, after = guard.measure, float(base.mean()), float(candidate.mean())
        difference = paired_bootstrap(candidate, base, resampling)
    passed = difference.low > -guard.margin
    return GuardFigure(guard.name, measure, before, after, difference, guard.margin, passed)


def guard_figures(
    guards: Sequence[GuardSet],
    values_of: ValuesOf,
    resampling: Resampling,
    systems: tuple[str, str] = ("candidate", "base"),
) -> list[GuardFigure]:
    """Every guard's figures, ``systems`` being what is judged and what it is compared with."""
    candidate, base = systems
    found = [guard_figure(g, values_of(g, candidate), values_of(g, base), resampling) for g in guards]
    return found if candidate == "candidate" else [replace(f, name=f"{f.name}, {candidate}") for f in found]


def general_figures(
    guards: Sequence[GuardSet], values_of: ValuesOf, systems: Sequence[str], resampling: Resampling
) -> list[GeneralFigure]:
    """What each system reaches on each set, with intervals: Spearman and Pearson, or the set's measure."""
    rows = []
    for guard in guards:
        for system in systems:
            values = values_of(guard, system)
            if isinstance(guard.content, SentencePairs):
                found = correlations(values, guard.content.scores, resampling)
            else:
                found = {guard.measure: bootstrap_mean(values, resampling)}
            rows += [GeneralFigure(guard.name, system, m, **asdict(i)) for m, i in found.items()]
    return rows


def default_guard(corpus: Corpus, margin: float) -> GuardSet | None:
    """Docstrings of installed packages: the summary line must find the body.

    Documents that the corpus holds too are left out, for the candidate was trained on them. None
    when fewer than 100 remain.
    """
    hashes = set(corpus.column("content_hash"))
    records = [
        r
        for r in _docstrings(PACKAGES)
        if r.doc_id not in corpus.row_of and content_hash(r.title, r.text) not in hashes
    ]
    step = max(1, len(records) // GUARD_DOCUMENTS)
    chosen = sorted(islice(records[::step], GUARD_DOCUMENTS), key=lambda r: r.doc_id)
    if len(chosen) < LEAST_DOCUMENTS:
        return None
    ids = [r.doc_id for r in chosen]
    content = DevSet(
        query_ids=[f"summary of {i}" for i in ids],
        query_texts=[r.title for r in chosen],
        doc_ids=ids,
        doc_texts=[" ".join(r.text.split()[:GUARD_WORDS]) for r in chosen],
        qrels={f"summary of {i}": {i: 1} for i in ids},
        name="docstrings",
    )
    return GuardSet("docstrings of installed packages", content, margin)


@lru_cache(maxsize=1)
def _docstrings(packages: tuple[str, ...]) -> list[Record]:
    roots = package_roots([name for name in packages if find_spec(name) is not None])
    return [r for r in docstring_documents(roots) if isinstance(r, Record)]


VALUES = "values.json"


class GuardCache:
    """Values of guard sets by system, from the store where they are there.

    A model's identity is its digest and the precision it is run in.
    """

    def __init__(self, store: Store, encoders: Mapping[str, Encoder], identities: Mapping[str, str]) -> None:
        self.store, self.encoders, self.identities = store, encoders, identities

    def __call__(self, guard: GuardSet, system: str) -> Doubles:
        """Each query's value, or each pair's cosine, [n]."""

        def make(work: Work) -> dict[str, int]:
            values = guard_values(guard, self.encoders[system])
            write_json(work.out / VALUES, values.tolist())
            return {"values": len(values)}

        recipe = Recipe(
            stage="guard",
            kind="guard",
            code=code_digest("embedlib.evaluation.guards"),
            config={
                "set": guard_digest(guard),
                "measure": guard.measure,
                "model": self.identities[system],
                "encoder": code_digest("embedlib.models.opening"),
            },
        )
        return np.array(read_list(self.store.build(recipe, make).ref.file(VALUES), float), dtype=np.float64)


def guard_digest(guard: GuardSet) -> str:
    """Identity of a guard's content."""
    content = guard.content
    if isinstance(content, SentencePairs):
        return digest([content.first, content.second, content.scores.tolist()])
    return digest([content.query_ids, content.query_texts, content.doc_ids, content.doc_texts, content.qrels])
