"""embedlib: the embedding life cycle, from raw documents to a proven model and a live index.

Five lines, with plain lists and arrays (each name is imported when it is first used)::

    import embedlib
    outcome = embedlib.run("docs/", workspace="ws")
    for hit in embedlib.Searcher("ws").search("reset my password", k=3):
        print(hit.score, hit.title, hit.text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedlib.config.root import load_config
    from embedlib.index.search import Searcher
    from embedlib.models.opening import open_encoder
    from embedlib.python import evaluate, mine, run

__version__ = "0.1.0"

_HOMES = {
    "Searcher": "embedlib.index.search",
    "evaluate": "embedlib.python",
    "load_config": "embedlib.config.root",
    "mine": "embedlib.python",
    "open_encoder": "embedlib.models.opening",
    "run": "embedlib.python",
}

__all__ = ["Searcher", "__version__", "evaluate", "load_config", "mine", "open_encoder", "run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562); ``import embedlib`` alone loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
