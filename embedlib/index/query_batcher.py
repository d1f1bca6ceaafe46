"""One encoder for many searching threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import EmbedlibError
from embedlib.models.encoder import Encoder


@dataclass
class _Request:
    texts: list[str]
    vectors: Floats | None = None
    error: EmbedlibError | None = None


class QueryBatcher:
    """Encodes queries of several threads; those that wait are encoded together in one batch.

    Tokenizers must not be called by two threads at once, and a model that runs alone with all
    cores is faster than two that share them. Whoever gets the lock serves everybody waiting.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._running = threading.Lock()
        self._pending: list[_Request] = []
        self._pending_guard = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Floats:
        """Query vectors, float32 [n, d].

        Raises:
            EmbedlibError: What the encoder raised for these texts.
        """
        request = _Request(list(texts))
        with self._pending_guard:
            self._pending.append(request)
        with self._running:
            if request.vectors is None and request.error is None:
                with self._pending_guard:
                    waiting, self._pending = self._pending, []
                self._serve(waiting)
        if request.error is not None:
            raise request.error
        if request.vectors is None:
            raise RuntimeError("a query was left without an answer")
        return request.vectors

    def encode_documents(self, texts: Sequence[str], chunk: int = 32) -> Floats:
        """Document vectors, float32 [n, d]; queries that wait are served between two chunks.

        Raises:
            EmbedlibError: What the encoder raised for these texts.
        """
        parts = []
        for start in range(0, len(texts), chunk):
            with self._running:
                parts.append(self.encoder.encode_documents(texts[start : start + chunk]))
        return np.concatenate(parts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens of the texts before any cut; their words where the model cannot count tokens."""
        count = getattr(self.encoder, "count_tokens", None)
        with self._running:
            return int(np.sum(count(texts))) if count else sum(len(text.split()) for text in texts)

    def _serve(self, waiting: list[_Request]) -> None:
        try:
            vectors = self.encoder.encode_queries([text for request in waiting for text in request.texts])
        except EmbedlibError as error:
            if len(waiting) == 1:
                waiting[0].error = error
                return
            for request in waiting:  # find whose text it is; the others get their answer
                self._serve([request])
            return
        start = 0
        for request in waiting:
            request.vectors = vectors[start : start + len(request.texts)]
            start += len(request.texts)
