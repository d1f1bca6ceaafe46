"""A shop of five documents, published and served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import index_workspace
import pytest
from index_workspace import Workspace
from live_server import LiveServer

TEXTS = {
    "a": "apple banana apple",
    "b": "banana cherry",
    "c": "cherry cherry date",
    "d": "zebra quiz",
    "e": "fig grape " * 40 + "the hidden melon is here " + "fig grape " * 40,
}
METADATA = {"a": {"lang": "en", "good": 1}, "b": {"lang": "de", "good": True}, "c": {"lang": "en"}}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr("embedlib.stages.index.load_encoder", index_workspace.load)
    monkeypatch.setattr("embedlib.models.local.load_encoder", index_workspace.load)
    workspace = Workspace(tmp_path / "ws")
    corpus = workspace.corpus(TEXTS, METADATA, groups={"a": "fruit", "b": "fruit"})
    model = workspace.model()
    vectors = workspace.vectors(corpus, model)
    index = workspace.index(corpus, model, vectors)
    workspace.publish({"corpus": corpus, "model": model, "vectors": vectors, "index": index})
    return workspace


@pytest.fixture
def server(shop: Workspace) -> Iterator[LiveServer]:
    with LiveServer(shop.root) as server:
        yield server
