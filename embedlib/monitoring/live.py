"""The live release as the monitor sees it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from embedlib.contracts import Floats
from embedlib.errors import CorruptArtifact, EmbedlibError
from embedlib.index.catalog import Release, current
from embedlib.monitoring.canaries import MEASURE, Answer
from embedlib.monitoring.proof import read_proof
from embedlib.store import Store

#: Parts of up to so many bytes are compared with their checksums at each check, larger ones by size.
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
        self.search_mode = str(release.search)
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

    def search(self, queries: Sequence[str], k: int) -> list[list[Answer]]:
        """The first k answers to each query as users get them, best first."""
        found = self._searcher.search(list(queries), k=k)
        return [[Answer(hit.doc_id, hit.group_id, hit.score) for hit in hits] for hits in found]

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Query vectors of the release's model, [n, d]."""
        vectors: Floats = self._encoder.encode_queries(list(texts))
        return vectors

    def damage(self) -> str:
        """What is wrong with the release's files; empty when they are whole."""
        store = Store(self.root)
        try:
            for name, part in self.release.parts.items():
                ref = part.ref(self.root)
                manifest = ref.manifest
                if manifest.digest != part.digest:
                    return f"{name} {part.fingerprint} is not the one that was released"
                if sum(entry.bytes for entry in manifest.files.values()) <= CHECKSUM_BYTES:
                    store.verify(ref)
                else:
                    _check_sizes(ref.path, {n: e.bytes for n, e in manifest.files.items()})
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


def _check_sizes(folder: Path, sizes: dict[str, int]) -> None:
    for name, expected in sizes.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            raise CorruptArtifact(
                "a released file is not what was written",
                where=str(path),
                expected=f"{expected} bytes",
                found="no file" if found is None else f"{found} bytes",
            )
