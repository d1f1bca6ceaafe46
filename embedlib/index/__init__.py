"""Vectors, FAISS indexes, releases and search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedlib.index.search import Searcher as Searcher

__all__ = ["Searcher"]


def __getattr__(name: str) -> Any:
    """``Searcher`` is imported when it is asked for, so that importing a neighbour stays fast."""
    if name == "Searcher":
        from embedlib.index.search import Searcher

        return Searcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
