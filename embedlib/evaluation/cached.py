"""What a model gives on a guard set, computed once a model and kept in the store.

The base and the incumbent stand in every evaluation; their guards are not encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from embedlib.evaluation.guards import GuardSet, Values, guard_values
from embedlib.evaluation.similarity import SentencePairs
from embedlib.fingerprint import code_digest, digest
from embedlib.json_file import read_list, write_json
from embedlib.models.encoder import Encoder
from embedlib.store import Recipe, Store, Work

VALUES = "values.json"


class GuardCache:
    """Values of guard sets by system, from the store where they are there.

    Args:
        store: The workspace.
        encoders: The models by name.
        identities: Each model's identity: its digest and the precision it is run in.
    """

    def __init__(self, store: Store, encoders: Mapping[str, Encoder], identities: Mapping[str, str]) -> None:
        self.store, self.encoders, self.identities = store, encoders, identities

    def __call__(self, guard: GuardSet, system: str) -> Values:
        """Each query's value, or each pair's cosine, [n]."""

        def make(work: Work) -> dict[str, int]:
            values = guard_values(guard, self.encoders[system])
            write_json(work.out / VALUES, values.tolist())
            return {"values": len(values)}

        recipe = Recipe(
            stage="guard",
            kind="guard",
            code=code_digest("embedlib.evaluation.guards"),
            config={"set": guard_digest(guard), "measure": guard.measure, "model": self.identities[system]},
        )
        return np.array(read_list(self.store.build(recipe, make).ref.file(VALUES), float), dtype=np.float64)


def guard_digest(guard: GuardSet) -> str:
    """Identity of a guard's content."""
    content = guard.content
    if isinstance(content, SentencePairs):
        return digest([content.first, content.second, content.scores.tolist()])
    return digest([content.query_ids, content.query_texts, content.doc_ids, content.doc_texts, content.qrels])
