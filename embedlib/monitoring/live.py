"""The live release as the monitor sees it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from embedlib.contracts import Floats
from embedlib.disk import folder_bytes
from embedlib.errors import EmbedlibError
from embedlib.evaluation.records import Decision
from embedlib.index.catalog import Release, current, releases_dir
from embedlib.index.release_parts import SEEN_FILE, require_whole
from embedlib.integrity import Checksums
from embedlib.monitoring.canaries import MEASURE, FoundDocument
from embedlib.monitoring.proof import read_proof

#: Parts of up to so many bytes are read at each check, larger ones when their files change.
CHECKSUM_BYTES = 512 << 20


class LiveRelease:
    """One release, opened once and kept for a whole check.

    Args:
        root: The workspace.
        release: The release's record.
    """

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
            try:
                require_whole(self.root, self.release, [name], None if self._is_small(name) else seen)
            except EmbedlibError as error:
                return str(error)
        return ""

    def _is_small(self, name: str) -> bool:
        return folder_bytes(self.release.ref(self.root, name).path) <= CHECKSUM_BYTES


def open_live(root: Path) -> LiveRelease | None:
    """The live release, None before the first one.

    Raises:
        ReleaseError: ``releases/current`` names no readable release.
    """
    release = current(root)
    return None if release is None else LiveRelease(root, release)
