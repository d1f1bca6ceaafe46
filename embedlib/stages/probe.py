"""Find the pair origins that do harm."""

from __future__ import annotations

import pyarrow.parquet as pq

from embedlib.artifact import ArtifactRef
from embedlib.config.training import Probe
from embedlib.pairs.report import ProbeResult
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.training import run_training


def run(
    job: Job,
    config: Probe,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    pairs: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
) -> Summary:
    """Train shortly on each origin mixed with labels; nothing to do without labels or when switched off.

    Without labels a teacher's scores are learnt, not pairs, and no derived query can say which do harm.
    """
    column = pq.read_table(pairs.file("pairs.parquet"), columns=["origin"]).column(0)
    origins = sorted(column.unique().to_pylist())
    if not config.enabled or len(origins) < 2 or "label" not in origins:
        ProbeResult(kept=origins, origins={}).write(job.out)
        return {"origins": len(origins), "kept": len(origins)}
    options = config.model_dump(include={"pairs", "margin", "batch_size", "learning_rate"})
    options |= {"loss": "mnrl", "epochs": 1.0, "dev_documents": 1000, "dev_queries": 200}
    inputs = {"corpus": corpus, "queries": queries, "pairs": pairs}
    return run_training(job, "probe", config, ("base", model.path), inputs, options)


STAGE = Stage("probe", "probe", run, accelerated=True)
