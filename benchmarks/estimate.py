"""How near an estimate of encoding comes to what encoding then takes.

    python -m benchmarks.estimate [--sets nl2bash scale-debian]

Each collection is estimated in a new workspace, then encoded to its end. The exit code is 1 when
tokens or seconds are off by more than 15 percent.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.workspace import DATA, arguments, machine
from embedlib.config.data import BeirSource, Ingest
from embedlib.config.models import Encode, Model
from embedlib.index.encode import encode_shard, plan_shards
from embedlib.index.estimate import estimate_encoding
from embedlib.stages import encode, ingest, pin
from embedlib.stages.base import run_stage
from embedlib.store import Store

ALLOWED = 0.15


def main() -> int:
    """Print a row a collection; 1 when an estimate is too far off."""
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="*", default=["nl2bash", "scale-debian"])
    options = parser.parse_args()
    print(machine())
    print("| set | documents | tokens: estimated, counted | seconds: estimated, taken |\n|---|---|---|---|")
    worst = 0.0
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            worst = max(worst, row(name, Store(Path(folder))))
    return int(worst > ALLOWED)


def row(name: str, store: Store) -> float:
    """Estimate and encode one collection; returns the larger relative error."""
    corpus = run_stage(store, ingest.STAGE, Ingest(source=BeirSource(path=DATA / name))).ref
    model = run_stage(store, pin.STAGE, Model()).ref
    encoding = encode.encoding_of(Encode(), model)
    found = estimate_encoding(store, corpus, encoding)
    for spec in plan_shards(store, corpus.path, encoding, Encode().shard_size):
        encode_shard(store, spec)
    shards = [ref.manifest.summary for ref in store.artifacts("shard")]
    tokens, seconds = (sum(s[key] for s in shards) for key in ("tokens", "encode_s"))
    assert found.seconds is not None
    errors = [found.tokens / tokens - 1, found.seconds / seconds - 1]
    said = f"{found.tokens:,}, {tokens:,} ({errors[0]:+.1%})"
    took = f"{found.seconds:.1f}, {seconds:.1f} ({errors[1]:+.1%})"
    print(f"| {name} | {found.documents:,} | {said} | {took} |", flush=True)
    return max(map(abs, errors))


if __name__ == "__main__":
    sys.exit(main())
