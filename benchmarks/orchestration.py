"""What orchestration costs: the life cycle through Prefect and MLflow, and the same stages as functions.

python -m benchmarks.orchestration                       # the demo's documents, the packaged model
python -m benchmarks.orchestration --data FOLDER --repeats 3 --set train.max_steps=20

Each side runs in a process of its own and an empty workspace, alternated; medians are compared. Both
must publish the same model and index, byte for byte. The promise: at most 3% or 10 s more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.workspace import arguments, machine

SIDES = ("functions", "flow")
SHARE, SECONDS = 0.03, 10.0


def main() -> int:
    """Compare, or run one side (``--side``, used by the comparison itself)."""
    parser = arguments(__doc__)
    parser.add_argument("--data", help="documents; the standard library's docstrings without")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="dotted option, such as train.epochs=1")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--workspace", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(run_side(options.side, options.workspace, options.data, options.set)))
        return 0
    print(machine())
    return compare(options.data, options.set, options.repeats)


def compare(data: str | None, overrides: Sequence[str], repeats: int) -> int:
    """Alternate both sides; 1 when they did not publish the same."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in SIDES if repeat % 2 == 0 else SIDES[::-1]:
            with tempfile.TemporaryDirectory(prefix=f"orchestration-{side}-") as folder:
                result = in_own_process(side, folder, data, overrides)
            found[side].append(result)
            print(f"{side:<10} {result['seconds']:7.1f} s  {result['peak_mb']:6.0f} MB  {result['verdict']}")
    plain, whole = (statistics.median(r["seconds"] for r in found[side]) for side in SIDES)
    allowed = max(SHARE * plain, SECONDS)
    verdict = "within" if whole - plain <= allowed else "above"
    print(
        f"orchestration adds {whole - plain:+.1f} s ({(whole - plain) / plain:+.1%}): {verdict} the promised "
        f"{allowed:.1f} s (the larger of 3% and 10 s)"
    )
    published = {(r["model"], r["index"], r["verdict"]) for results in found.values() for r in results}
    if len(published) > 1:
        print(f"WRONG: the sides published different things: {published}", file=sys.stderr)
        return 1
    return 0


def in_own_process(side: str, folder: str, data: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Run one side from a cold start; seconds are those of the whole process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.orchestration",
        "--side",
        side,
        "--workspace",
        f"{folder}/ws",
    ]
    command += [*(["--data", data] if data else []), *(a for o in overrides for a in ("--set", o))]
    env = {**os.environ, "PREFECT_HOME": f"{folder}/home", "HF_HUB_OFFLINE": "1"}
    env.pop("PREFECT_API_URL", None)
    started = time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds}


def run_side(side: str, workspace: str, data: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """One life cycle in this process; what was published, and the peak of memory."""
    from embedlib.config.root import load_config
    from embedlib.evaluation.records import Decision
    from embedlib.index.catalog import current
    from embedlib.memory import peak_memory_mb

    source = {"type": "auto", "path": data} if data else {"type": "docstrings"}
    config = load_config(values={"workspace": workspace, "ingest": {"source": source}}, overrides=overrides)
    if side == "flow":
        from flows.command_entry import start

        start("lifecycle", config=config)
    else:
        functions(config)
    release = current(config.workspace)
    assert release is not None
    decision = Decision.read(release.ref(config.workspace, "decision").path)
    digests = {name: release.parts[name].digest for name in ("model", "index")}
    return {**digests, "verdict": decision.verdict, "peak_mb": peak_memory_mb()}


def functions(config: Any) -> None:
    """The life cycle's stages as plain functions, in the flow's order, without Prefect and MLflow."""
    from embedlib.artifact import ArtifactRef
    from embedlib.evaluation.records import Decision
    from embedlib.stages import (
        decide,
        encode,
        evaluate,
        index,
        ingest,
        merge,
        mine,
        pin,
        probe,
        report,
        split,
        synthesize,
        train,
    )
    from embedlib.stages.base import Stage, run_stage
    from embedlib.stages.publish import publish_release
    from embedlib.store import Store

    store = Store(config.workspace)

    def do(stage: Stage, section: Any, **inputs: ArtifactRef) -> ArtifactRef:
        return run_stage(store, stage, section, seed=config.seed, **inputs).ref

    corpus = do(ingest.STAGE, config.ingest)
    data = {"corpus": corpus, "queries": do(split.STAGE, config.split, corpus=corpus)}
    base = do(pin.STAGE, config.model)
    vectors = do(encode.STAGE, config.encode, corpus=corpus, model=base)
    start = {"model": base, "vectors": vectors}
    pairs = do(synthesize.STAGE, config.synthesize, **data, **start)
    probed = do(probe.STAGE, config.probe, **data, **start, pairs=pairs)
    examples = do(mine.STAGE, config.mine, **data, **start, pairs=pairs, probe=probed)
    model = do(train.STAGE, config.train, **data, examples=examples, model=base)

    def prove(candidate: ArtifactRef) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
        made = do(encode.STAGE, config.encode, corpus=corpus, model=candidate)
        both = {"base": base, "base_vectors": vectors, "candidate": candidate, "candidate_vectors": made}
        evaluation = do(evaluate.STAGE, config.evaluate, **data, **both)
        return made, evaluation, do(decide.STAGE, config.decide, evaluation=evaluation, examples=examples)

    made, evaluation, decision = prove(model)
    if Decision.read(decision.path).verdict == "merge-and-retest":
        model = do(merge.STAGE, config.merge, **data, base=base, tuned=model)
        made, evaluation, decision = prove(model)
    promoted = Decision.read(decision.path).verdict == "promote"
    chosen = {"model": model, "vectors": made} if promoted else start
    built = do(index.STAGE, config.index, **data, **chosen)
    material = {"pairs": pairs, "probe": probed, "examples": examples}
    shown = {"candidate": model, "evaluation": evaluation, "decision": decision, "index": built}
    do(report.STAGE, config.report, **data, **material, **shown)
    publish_release(
        config.workspace, config.publish, {"corpus": corpus, **chosen, "index": built, "decision": decision}
    )


if __name__ == "__main__":
    sys.exit(main())
