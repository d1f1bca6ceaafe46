"""LocalEncoder against ``SentenceTransformer.encode``, the pinned oracle, on the real packaged model.

Mapping: ``encode`` = ``encode``, ``encode_queries`` = ``encode_query``, ``encode_documents`` =
``encode_document``. Negative control: another prompt is told apart.
"""

from __future__ import annotations

import inspect
import json
import re

import numpy as np
import pytest

from embedlib.models.hardware import cpu_flags
from embedlib.models.local import load_encoder
from embedlib.models.prompts import Prompts


@pytest.fixture(scope="module")
def texts():
    """Real prose of very different lengths: the standard library's docstrings, long ones included."""
    found = [inspect.getdoc(value) for module in (json, re, inspect) for value in vars(module).values()]
    prose = sorted({text for text in found if text and text.strip()})[:60]
    return [*prose, "x", "word " * 400]


@pytest.fixture(scope="module")
def encoder(minilm):
    return load_encoder(minilm, device="cpu", prompts=Prompts("query: ", "passage: "))


def cosine(a, b):
    return (a * b).sum(axis=1)


def test_fp32_is_the_library(encoder, texts):
    expected = encoder.module.encode(texts, prompt="")
    assert cosine(encoder.encode(texts), expected).min() > 0.99999


def test_prompts_are_the_librarys(encoder, texts, tmp_path):
    from sentence_transformers import SentenceTransformer

    encoder.save(tmp_path)
    plain = SentenceTransformer(str(tmp_path), device="cpu")
    queries, documents = encoder.encode_queries(texts[:20]), encoder.encode_documents(texts[:20])
    assert cosine(queries, plain.encode_query(texts[:20])).min() > 0.99999
    assert cosine(documents, plain.encode_document(texts[:20])).min() > 0.99999
    assert cosine(queries, documents).min() < 0.99  # negative control


@pytest.mark.skipif(not cpu_flags() & {"amx_bf16", "avx512_bf16"}, reason="no bf16 products here")
def test_bf16_is_close_and_ranks_alike(minilm, encoder, texts):
    fast = load_encoder(minilm, device="cpu", dtype="bf16").encode(texts)
    exact = encoder.encode(texts)
    assert cosine(fast, exact).mean() > 0.9999
    nearest = [np.argsort(-(v @ v.T), axis=1, kind="stable")[:, 1] for v in (fast, exact)]
    assert (nearest[0] == nearest[1]).mean() > 0.9
