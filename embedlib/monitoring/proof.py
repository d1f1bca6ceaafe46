"""The evaluation behind a release: what was measured of its model before it was published."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedlib.evaluation.records import EvaluationRecord
from embedlib.evaluation.served import served_system
from embedlib.index.catalog import Release
from embedlib.publishing.facts import evaluation_of, system_of
from embedlib.retrieval.plan import DENSE, SearchPlan


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
    values: dict[str, npt.NDArray[np.float64]]

    def of_release(self, search: SearchPlan = DENSE) -> npt.NDArray[np.float64]:
        """The values of the released model as ``search`` searches with it, [n]."""
        return self.values[served_system(self.released, search)]


def read_proof(root: Path, release: Release) -> ReleasedScores | None:
    """The proof of a release's model; None where its evaluation is gone or had no judged query.

    Args:
        root: The workspace.
        release: The release's record.
    """
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
