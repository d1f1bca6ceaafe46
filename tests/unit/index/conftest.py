"""Indexes are built on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from embedlib.index.dense import faiss_threads


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small indexes are built faster by one thread, and the same way every time."""
    with faiss_threads(1):
        yield
