"""Embeddings in OpenAI's shape."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from index_workspace import load


def ask(server, **body):
    return server.client.post("/v1/embeddings", json=body)


def test_vectors_are_the_models_own(server, shop):
    answer = ask(server, input=["apple", "zebra"], model="embedlib", input_type="query").json()
    model = load(shop.root / "artifacts/model" / server.service.searcher.release.model.fingerprint)
    assert [d["index"] for d in answer["data"]] == [0, 1]
    np.testing.assert_allclose(
        [d["embedding"] for d in answer["data"]], model.encode_queries(["apple", "zebra"]), rtol=1e-6
    )
    assert answer["object"] == "list"
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_prompts_follow_the_input_type(server, monkeypatch):
    encoder = server.service.searcher._snapshot.encoder.encoder
    seen = []
    monkeypatch.setattr(
        type(encoder), "encode_queries", lambda self, t, **_: seen.append("query") or self.encode(t)
    )
    monkeypatch.setattr(
        type(encoder), "encode_documents", lambda self, t, **_: seen.append("document") or self.encode(t)
    )
    assert ask(server, input="apple", input_type="query").status_code == 200
    assert ask(server, input="apple", input_type="document").status_code == 200
    assert ask(server, input="apple").status_code == 200
    assert seen == ["query", "document", "document"]


def test_base64_and_fewer_dimensions(server):
    plain = ask(server, input="apple banana", dimensions=4).json()["data"][0]["embedding"]
    assert len(plain) == 4
    assert np.linalg.norm(plain) == pytest.approx(1, abs=1e-6)
    packed = ask(server, input="apple banana", dimensions=4, encoding_format="base64").json()
    decoded = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4")
    np.testing.assert_allclose(decoded, plain, rtol=1e-6)
    assert ask(server, input="a", dimensions=28).status_code == 400


def test_a_model_that_is_not_live_is_refused(server, shop):
    name = ask(server, input="apple").json()["model"]
    assert ask(server, input="apple", model=name).status_code == 200
    refused = ask(server, input="apple", model="text-embedding-3-small")
    assert refused.status_code == 404
    assert name in refused.json()["error"]["message"]
    shop.publish(shop.parts({"z": "zebra zebra"}, shift=1))
    server.service.searcher.refresh()
    assert ask(server, input="apple", model=name).status_code == 404


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("", 422),
        ([], 422),
        (["a", ""], 422),
        (["a", "  "], 400),
        ([1, 2], 422),
        (["a"] * 257, 422),
        ("a" * 65537, 422),
    ],
)
def test_what_has_no_vector_is_refused(server, given, status):
    assert ask(server, input=given).status_code == status
