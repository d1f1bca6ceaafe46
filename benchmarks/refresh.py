"""A refresh of 1% changed documents against a rebuild: ingest, encode, index, publish.

    python -m benchmarks.refresh [--documents 64000] [--changed 0.01]

Wanted: a refresh takes at most 3% of the rebuild's time plus 5 s, encodes only what changed, and
the release that it publishes answers with the new texts.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.workspace import arguments, debian, machine
from embedlib.artifact import ArtifactRef
from embedlib.config.base import Section
from embedlib.config.data import Ingest, JsonlSource
from embedlib.config.index import Index, Publish
from embedlib.config.models import Encode, Model
from embedlib.index.search import Searcher
from embedlib.memory import peak_memory_mb
from embedlib.stages import encode, index, ingest, pin
from embedlib.stages.base import Stage, run_stage
from embedlib.stages.publish import publish_release
from embedlib.store import Store

SHARE, EXTRA_S = 0.03, 5.0


def main() -> int:
    """Rebuild, change, refresh, compare; exit code 1 when the refresh did more than it had to."""
    parser = arguments(__doc__)
    parser.add_argument("--documents", type=int, default=64_000)
    parser.add_argument("--changed", type=float, default=0.01)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="refresh-") as folder:
        source, store = Path(folder) / "documents.jsonl", Store(Path(folder) / "workspace")
        count = write_documents(source, options.documents, changed_every=0)
        rebuild, _ = life(store, source)
        every = round(1 / options.changed)
        write_documents(source, options.documents, changed_every=every)
        refresh, summary = life(store, source)
        expected = len(range(0, count, every))
        print(f"{count:,} documents, {expected:,} changed; encoded {summary.get('encoded')}")
        print(f"{'stage':<10}{'rebuild s':>12}{'refresh s':>12}")
        for name in rebuild:
            print(f"{name:<10}{rebuild[name]:>12.2f}{refresh[name]:>12.2f}")
        total, again = sum(rebuild.values()), sum(refresh.values())
        allowed = SHARE * total + EXTRA_S
        print(
            f"{'all':<10}{total:>12.2f}{again:>12.2f}   allowed {allowed:.2f} s; "
            f"peak {peak_memory_mb():.0f} MiB"
        )
        hits = Searcher(store.root).search("marsupial zeppelin revision", k=1, mode="bm25")
        encoded = int(summary["encoded"])  # fewer than changed: ingest drops documents of the same text
        right = bool(hits) and hits[0].release == 2 and 0.8 * expected <= encoded <= expected
        if not right:
            print("WRONG: the new texts are not what is searched, or more than the changed was encoded")
        return 0 if right and again <= allowed else 1


def life(store: Store, source: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds of each stage of a refresh, as plain calls, and the encode stage's summary."""
    times: dict[str, float] = {}

    def timed(stage: Stage, config: Section, **inputs: ArtifactRef) -> ArtifactRef:
        started = time.perf_counter()
        built = run_stage(store, stage, config, **inputs)
        times[stage.name] = time.perf_counter() - started
        return built.ref

    corpus = timed(ingest.STAGE, Ingest(source=JsonlSource(path=source)))
    model = timed(pin.STAGE, Model())
    vectors = timed(encode.STAGE, Encode(), corpus=corpus, model=model)
    made = timed(index.STAGE, Index(), corpus=corpus, model=model, vectors=vectors)
    started = time.perf_counter()
    parts = {"corpus": corpus, "model": model, "vectors": vectors, "index": made}
    publish_release(store.root, Publish(), parts)
    times["publish"] = time.perf_counter() - started
    return times, dict(vectors.manifest.summary)


def write_documents(path: Path, count: int, changed_every: int) -> int:
    """The package descriptions as JSONL, repeated when more are asked for; every n-th changed."""
    written = 0
    with path.open("w", encoding="utf-8") as out:
        for number, document in enumerate(itertools.islice(documents(), count)):
            if changed_every and number % changed_every == 0:
                document["text"] += " Marsupial zeppelin revision."
            out.write(json.dumps(document) + "\n")
            written += 1
    return written


def documents() -> Iterator[dict[str, str]]:
    """Documents of ``scale-debian``, again with another number after the last one."""
    for turn in itertools.count():
        for document in debian():
            title = document.get("title", "") + (f" (copy {turn})" if turn else "")
            yield {"_id": f"{document['_id']}-{turn}", "title": title, "text": document["text"]}


if __name__ == "__main__":
    sys.exit(main())
