"""The queries that gained and lost most, in a form a person can read."""

from __future__ import annotations

from embedlib.contracts import Corpus
from embedlib.evaluation.records import Gains, QueryGain, ShownDocument, ShownHit
from embedlib.evaluation.systems import Evaluated
from embedlib.retrieval.hits import Hits

SNIPPET = 160
#: Hits shown of each system.
TOP = 3


def gains(
    evaluated: Evaluated,
    corpus: Corpus,
    measure: str,
    *,
    system: str = "candidate",
    baseline: str = "base",
    count: int = 10,
) -> Gains:
    """Per-query differences and the queries at both ends."""
    judged = evaluated.judged
    a, b = evaluated.values[system][measure], evaluated.values[baseline][measure]
    d = a - b
    order = sorted(range(len(d)), key=lambda i: (-d[i], judged.query_ids[i]))
    gained = [i for i in order[:count] if d[i] > 0]
    lost = [i for i in order[::-1][:count] if d[i] < 0]
    show = _Shower(evaluated, corpus, [*gained, *lost], (baseline, system))

    def entry(i: int) -> QueryGain:
        return QueryGain(
            query_id=judged.query_ids[i],
            query=judged.query_texts[i],
            before=float(b[i]),
            after=float(a[i]),
            relevant=show.relevant(i),
            hits_before=show.hits(i, baseline),
            hits_after=show.hits(i, system),
        )

    return Gains(
        measure=measure,
        system=system,
        baseline=baseline,
        differences=[round(float(d[i]), 6) for i in order],
        gained=[entry(i) for i in gained],
        lost=[entry(i) for i in lost],
    )


class _Shower:
    """Reads the texts of the few documents that are shown, once."""

    def __init__(
        self, evaluated: Evaluated, corpus: Corpus, queries: list[int], systems: tuple[str, str]
    ) -> None:
        self.evaluated, self.judged = evaluated, evaluated.judged
        first_row: dict[str, int] = {}
        wanted = {d for i in queries for d in self._relevant_ids(i)}
        for row, label in enumerate(self.judged.labels):
            if label in wanted:
                first_row.setdefault(label, row)
        self.first_row = first_row
        rows = {r for i in queries for s in systems for r in self._rows(i, s)} | set(first_row.values())
        ordered = sorted(rows)
        self.texts = dict(zip(ordered, corpus.texts_at(ordered), strict=True))

    def relevant(self, query: int) -> list[ShownDocument]:
        return [
            ShownDocument(doc_id=d, text=self._snippet(self.first_row[d]))
            for d in self._relevant_ids(query)
            if d in self.first_row
        ]

    def hits(self, query: int, system: str) -> list[ShownHit]:
        qrels = self.judged.qrels[self.judged.query_ids[query]]
        found = [(r, self.judged.labels[r]) for r in self._rows(query, system)]
        return [ShownHit(doc_id=d, text=self._snippet(r), relevance=qrels.get(d, 0)) for r, d in found]

    def _rows(self, query: int, system: str) -> list[int]:
        hits: Hits = self.evaluated.hits[system]
        return [int(r) for r in hits.rows[query, :TOP] if r >= 0]

    def _relevant_ids(self, query: int) -> list[str]:
        qrels = self.judged.qrels[self.judged.query_ids[query]]
        return sorted((d for d, r in qrels.items() if r > 0), key=lambda d: (-qrels[d], d))[:TOP]

    def _snippet(self, row: int) -> str:
        text = " ".join(self.texts[row].split())
        return text if len(text) <= SNIPPET else text[: SNIPPET - 1].rstrip() + "…"
