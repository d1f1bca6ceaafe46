"""A hand-computable encoder that counts its calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class ToyEncoder:
    """Counts letters a-z, plus one constant component, at unit norm: cosine is letter overlap."""

    name = "toy"
    dimension = 27
    max_length = None

    def __init__(self) -> None:
        self.calls = 0
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str], *, prompt: str = "", progress=None) -> np.ndarray:
        self.calls += 1
        self.texts += list(texts)
        rows = [[1e-3, *((prompt + t).lower().count(c) for c in LETTERS)] for t in texts]
        out = np.asarray(rows, dtype=np.float32).reshape(len(texts), self.dimension)
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    def encode_queries(self, texts: Sequence[str], *, progress=None) -> np.ndarray:
        return self.encode(texts)

    def encode_documents(self, texts: Sequence[str], *, progress=None) -> np.ndarray:
        return self.encode(texts)
