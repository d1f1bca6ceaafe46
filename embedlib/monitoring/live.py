"""The live release as the monitor sees it, and the evaluation behind it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedlib.contracts import Doubles, Floats
from embedlib.disk import folder_bytes
from embedlib.errors import EmbedlibError
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.evaluation.served import served_system
from embedlib.index.catalog import Release, current, releases_dir
from embedlib.index.release_parts import SEEN_FILE, require_whole
from embedlib.integrity import Checksums
from embedlib.monitoring.canaries import MEASURE, FoundDocument
from embedlib.publishing.facts import evaluation_of, system_of
from embedlib.retrieval.plan import DENSE, SearchPlan

#: Parts of up to so many bytes are read at each check, larger ones when their files change.
CHECKSUM_BYTES = 512 << 20


class LiveRelease:
    """One release, opened once and kept for a whole check."""

    def __init__(self, root: Path, release: Release) -> None:
        self.root, self.release = Path(root), release
        self.number = release.number
        created = datetime.fromisoformat(release.created_at)
        self.published_at = created if created.tzinfo else created.replace(tzinfo=UTC)
        self.model_digest = release.parts["model"].digest
        self.search_mode = release.answers
        self.corpus = release.ref(self.root, "corpus").path

    @cached_property
    def queries(self) -> Path | None:
        """Queries artifact behind the release's index (its parent), None where it is gone."""
        queries = self.release.ref(self.root, "index").parents.get("queries")
        return queries.path if queries is not None and queries.exists else None

    @cached_property
    def test_score(self) -> float | None:
        """nDCG@10 on the test queries before publishing, searched as it is now.

        None where that was not the deciding measure.
        """
        if self.release.rerank is not None:
            tested = Decision.read(self.release.ref(self.root, "reranking").path).numbers
            return float(tested["two_stages"]) if tested["measure"] == MEASURE else None
        proof = read_proof(self.root, self.release)
        if proof is None or proof.measure != MEASURE:
            return None
        return float(proof.of_release(self.release.search).mean())

    @cached_property
    def _searcher(self) -> Any:
        from embedlib.index.search import Searcher

        return Searcher(self.root)

    @cached_property
    def _encoder(self) -> Any:
        from embedlib.models.local import load_encoder

        return load_encoder(self.release.ref(self.root, "model").path)

    def search(self, queries: Sequence[str], k: int) -> list[list[FoundDocument]]:
        """The first k answers to each query as users get them, best first."""
        found = self._searcher.search(list(queries), k=k)
        return [[FoundDocument(hit.doc_id, hit.group_id, hit.score) for hit in hits] for hits in found]

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Query vectors of the release's model, [n, d]."""
        vectors: Floats = self._encoder.encode_queries(list(texts))
        return vectors

    def damage(self) -> str:
        """What is wrong with the release's files; empty when they are whole."""
        seen = Checksums.read(releases_dir(self.root) / SEEN_FILE)
        for name in self.release.parts:
            is_small = folder_bytes(self.release.ref(self.root, name).path) <= CHECKSUM_BYTES
            try:
                require_whole(self.root, self.release, [name], None if is_small else seen)
            except EmbedlibError as error:
                return str(error)
        return ""


def open_live(root: Path) -> LiveRelease | None:
    """The live release, None before the first one.

    Raises:
        ReleaseError: ``releases/current`` names no readable release.
    """
    release = current(root)
    return None if release is None else LiveRelease(root, release)


class ReleasedScores(NamedTuple):
    """Values of the deciding measure on the deciding judged set.

    Args:
        measure: Such as ``nDCG@10``.
        dataset: Kind of judgements.
        released: Name under which the released model was evaluated (``candidate``, ``incumbent``, ``base``).
        values: For each system, one value per query, in one order of queries.
    """

    measure: str
    dataset: str
    released: str
    values: dict[str, Doubles]

    def of_release(self, search: SearchPlan = DENSE) -> Doubles:
        """The values of the released model as ``search`` searches with it, [n]."""
        return self.values[served_system(self.released, search)]


def read_proof(root: Path, release: Release) -> ReleasedScores | None:
    """The proof of a release's model; None where its evaluation is gone or had no judged query."""
    evaluation = evaluation_of(root, release)
    if evaluation is None:
        return None
    record = EvaluationRecord.read(evaluation.path)
    released = system_of(release.ref(root, "model"), evaluation)
    if not released or record.decides is None:
        return None
    table = pq.read_table(evaluation.file("scores.parquet"))
    chosen = pc.and_(pc.equal(table["measure"], record.primary), pc.equal(table["dataset"], record.decides))
    by_system: dict[str, dict[str, float]] = {}
    for row in table.filter(chosen).select(["system", "query_id", "value"]).to_pylist():
        by_system.setdefault(row["system"], {})[row["query_id"]] = row["value"]
    if released not in by_system:
        return None
    order = sorted(by_system[released])
    values = {name: np.array([found[q] for q in order]) for name, found in by_system.items()}
    return ReleasedScores(record.primary, record.decides, released, values)
