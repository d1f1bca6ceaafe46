"""The corpus to vectors: planned in shards, only what is new, assembled in corpus order.

A shard is a unit of work and an artifact of its own: whichever process finishes one, the next
plan finds it by the content hashes in it. So a killed run goes on where it was, and a flow may
fan shards out over any number of workers that share the store.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Corpus, Floats, Rows, document_text
from embedlib.fingerprint import code_digest
from embedlib.index.vector_cache import Hashes, VectorCache, cached_vectors, of_encoding, read_hashes
from embedlib.index.vectors import write_vectors
from embedlib.models.api import ApiEncoder
from embedlib.models.local import LocalEncoder
from embedlib.models.opening import open_folder
from embedlib.models.options import Precision
from embedlib.progress import Progress, silent
from embedlib.store import Built, Recipe, Store, Work
from embedlib.vectors import ShardInfo

logger = logging.getLogger(__name__)

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Encoding:
    """How documents become vectors.

    Args:
        model: The model's folder; prompts, length, pooling and dimension are in it.
        model_digest: Its identity.
        precision: Arithmetic of the model.
        dtype: Stored numbers, ``float16`` or ``float32``.
    """

    model: Path
    model_digest: str
    precision: Precision
    dtype: str

    @property
    def identity(self) -> dict[str, str]:
        """What two vectors must share to be interchangeable; the encoder's code is part of it."""
        code = code_digest("embedlib.models.local")
        return {"model": self.model_digest, "precision": self.precision, "dtype": self.dtype, "code": code}


@dataclass(frozen=True)
class ShardSpec:
    """A unit of work in plain values: which rows of which corpus, encoded how.

    Args:
        corpus: The corpus artifact's folder.
        encoding: How.
        rows: Half-open ranges of corpus rows, in order.
    """

    corpus: Path
    encoding: Encoding
    rows: tuple[tuple[int, int], ...]


def plan_shards(store: Store, corpus: Path, encoding: Encoding, shard_size: int) -> list[ShardSpec]:
    """Shards of what the store has no vector for yet: each content once, in corpus order."""
    pending = pending_rows(store, corpus, encoding)
    cuts = range(0, len(pending), shard_size)
    return [shard_of(corpus, encoding, pending[start : start + shard_size]) for start in cuts]


def pending_rows(store: Store, corpus: Path, encoding: Encoding) -> Rows:
    """Rows of the corpus to encode: the first of each content that has no vector yet, ascending."""
    hashes = read_hashes(corpus / "corpus.parquet")
    _, first = np.unique(hashes, return_index=True)
    missing = cached_vectors(store, encoding.identity).find(hashes[first]) < 0
    return np.sort(first[missing]).astype(np.int64)


def shard_of(corpus: Path, encoding: Encoding, rows: Rows) -> ShardSpec:
    """The shard of some rows, ascending."""
    return ShardSpec(corpus, encoding, _ranges(rows))


def encode_shard(
    store: Store, spec: ShardSpec, *, encoder: LocalEncoder | None = None, progress: Progress = silent
) -> Built:
    """Encode one shard into an artifact of kind ``shard``, or find it there.

    Safe to call from many processes; within one process shards are encoded one after the other,
    each with every core.
    """
    documents = Corpus(spec.corpus).take(_expand(spec.rows))
    hashes = [d.content_hash for d in documents]
    contents = hashlib.sha256("".join(hashes).encode()).hexdigest()
    recipe = Recipe(
        "encode", "shard", code_digest(__name__), {**spec.encoding.identity, "contents": contents}
    )

    def make(work: Work) -> dict[str, Any]:
        model = encoder or _encoder(spec.encoding)
        started, tokens, cut = time.monotonic(), model.tokens, model.truncated
        texts = [document_text(d.title, d.text) for d in documents]
        vectors = model.encode_documents(texts, progress=progress)
        _write_shard(work.out, hashes, vectors, spec.encoding, model.normalized)
        return {
            "documents": len(documents),
            "tokens": model.tokens - tokens,
            "truncated": model.truncated - cut,
            "encode_s": round(time.monotonic() - started, 3),
        }

    with _one_at_a_time:
        return store.build(recipe, make)


def encode_corpus(
    store: Store,
    corpus: ArtifactRef,
    encoding: Encoding,
    out: Path,
    *,
    shard_size: int = 4096,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Vectors of a whole corpus in row order, encoding only what the store does not hold.

    Args:
        store: Where earlier vectors and finished shards are looked for, and new shards go.
        corpus: The corpus artifact.
        encoding: How to encode.
        out: Folder for ``shards/*.npy``, ``ids.parquet`` and ``vectors.json``.
        shard_size: Documents a unit of work.
        progress: Progress callback: documents done.

    Returns:
        Counts of reused, encoded and dropped documents, and the speed of what was encoded here.
    """
    started = time.monotonic()
    hashes = read_hashes(corpus.file("corpus.parquet"))
    before = cached_vectors(store, encoding.identity, shards=False)
    drop_assembled_shards(store, encoding, before)
    reused = int((before.find(hashes) >= 0).sum())
    specs = plan_shards(store, corpus.path, encoding, shard_size)
    made = _encode_all(store, specs, progress)
    identity = encoding.identity
    dimension = write_vectors(corpus, hashes, cached_vectors(store, identity), out, identity)
    return {
        "documents": len(hashes),
        "reused": reused,
        "encoded": len(hashes) - reused,
        "dropped": _dropped(store, encoding, hashes),
        "dimension": dimension,
        "encoded_here": sum(ref.manifest.summary["documents"] for ref in made),
        **_work(list(of_encoding(store, "shard", encoding.identity))),
        "total_s": round(time.monotonic() - started, 3),
    }


def drop_assembled_shards(store: Store, encoding: Encoding, known: VectorCache) -> int:
    """Delete shard artifacts all of whose vectors are among the ``known`` finished ones; returns how many."""
    dropped = 0
    for ref in list(of_encoding(store, "shard", encoding.identity)):
        if (known.find(read_hashes(ref.file("ids.parquet"))) >= 0).all():
            aside = ref.path.with_name(f".tmp-{ref.fingerprint}")  # swept if this process dies here
            ref.path.replace(aside)
            shutil.rmtree(aside)
            dropped += 1
    return dropped


def _encode_all(store: Store, specs: Sequence[ShardSpec], progress: Progress) -> list[ArtifactRef]:
    """Every shard in turn, with progress over all of them."""
    sizes = [sum(stop - start for start, stop in spec.rows) for spec in specs]
    made: list[ArtifactRef] = []
    for number, spec in enumerate(specs):
        before = sum(sizes[:number])

        def told(done: int, total: int | None, what: str, before: int = before) -> None:
            progress(before + done, sum(sizes), "encoding documents")

        ref = encode_shard(store, spec, progress=told).ref
        made.append(ref)
        done = ref.manifest.summary
        rate = sizes[number] / max(done["encode_s"], 1e-9)
        logger.info(
            "shard %d of %d: %d documents, %.0f documents/s", number + 1, len(specs), sizes[number], rate
        )
    return made


def _ranges(rows: Rows) -> tuple[tuple[int, int], ...]:
    """Sorted rows as half-open ranges.

    >>> _ranges(np.array([2, 3, 4, 9]))
    ((2, 5), (9, 10))
    """
    parts = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return tuple((int(part[0]), int(part[-1]) + 1) for part in parts)


def _expand(ranges: Sequence[tuple[int, int]]) -> Rows:
    return np.concatenate([np.arange(start, stop) for start, stop in ranges])


@lru_cache(maxsize=1)
def _encoder(encoding: Encoding) -> LocalEncoder | ApiEncoder:
    return open_folder(encoding.model, encoding.precision)


def _write_shard(
    out: Path, hashes: Sequence[str], vectors: Floats, encoding: Encoding, normalized: bool
) -> None:
    np.save(out / "vectors.npy", vectors.astype(encoding.dtype), allow_pickle=False)
    pq.write_table(pa.table({"content_hash": list(hashes)}), out / "ids.parquet", compression="zstd")
    ShardInfo(
        encoding=encoding.identity, normalized=normalized, shards=["vectors.npy"], rows=[len(hashes)]
    ).write(out)


def _dropped(store: Store, encoding: Encoding, hashes: Hashes) -> int:
    """Contents of the newest finished vectors that this corpus no longer has."""
    for ref in of_encoding(store, "vectors", encoding.identity, limit=1):
        return int((~np.isin(read_hashes(ref.file("ids.parquet")), hashes)).sum())
    return 0


def _work(shards: Sequence[ArtifactRef]) -> dict[str, Any]:
    """Tokens, cut documents and speed over the shards of this corpus, whichever worker encoded them."""
    totals = [ref.manifest.summary for ref in shards]
    documents, tokens, cut = (sum(t[n] for t in totals) for n in ("documents", "tokens", "truncated"))
    seconds = sum(t["encode_s"] for t in totals)
    return {
        "truncated_share": round(cut / documents, 4) if documents else 0.0,
        "tokens": tokens,
        "tokens_per_s": round(tokens / seconds, 1) if seconds else 0.0,
        "docs_per_s": round(documents / seconds, 1) if seconds else 0.0,
        "shard_peak_memory_mb": max((ref.manifest.peak_memory_mb for ref in shards), default=0.0),
    }
