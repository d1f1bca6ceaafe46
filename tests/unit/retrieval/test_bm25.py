from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from embedlib.errors import DataError
from embedlib.retrieval.bm25 import K1 as k1
from embedlib.retrieval.bm25 import B, BM25Index, build_bm25
from embedlib.retrieval.tokens import words

TEXTS = ["red apple red", "green apple", "blue sky over blue sea", "red sea"]


@pytest.mark.parametrize("engine", ["rank-bm25", "bm25s"])
def test_hand_computed_scores(engine: str) -> None:
    hits = build_bm25(TEXTS, engine=engine).search(["red"], 4)
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    average = (3 + 2 + 4 + 2) / 4  # "over" is a stop word
    first = idf * 2 / (2 + k1 * (1 - B + B * 3 / average))
    second = idf * 1 / (1 + k1 * (1 - B + B * 2 / average))
    assert hits.rows.tolist() == [[0, 3, -1, -1]]
    assert hits.scores[0, :2] == pytest.approx([first, second], rel=1e-6)
    assert np.isneginf(hits.scores[0, 2:]).all()


@pytest.mark.parametrize("engine", ["rank-bm25", "bm25s"])
def test_save_and_load_gives_the_same_hits(engine: str, tmp_path: Path) -> None:
    index = build_bm25(TEXTS, engine=engine)
    index.save(tmp_path / "bm25")
    loaded = BM25Index.load(tmp_path / "bm25")
    assert loaded.engine.name == engine
    assert len(loaded) == 4
    before, after = index.search(["red sea", "zebra"], 3), loaded.search(["red sea", "zebra"], 3)
    assert (before.rows == after.rows).all()
    assert (before.scores == after.scores).all()


@pytest.mark.parametrize("engine", ["rank-bm25", "bm25s"])
def test_a_document_without_words_and_a_query_without_words(engine: str) -> None:
    index = build_bm25(["", "the of and", "apple"], engine=engine)
    assert index.search(["apple", "the", ""], 2).rows.tolist() == [[2, -1], [-1, -1], [-1, -1]]


@pytest.mark.parametrize("documents", [1, 300])
def test_bm25s_is_the_engine_at_any_size(documents: int) -> None:
    assert build_bm25(["a word"] * documents).engine.name == "bm25s"


@pytest.mark.parametrize("texts", [[], ["", "the"]])
def test_nothing_to_index_is_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match="nothing to index"):
        build_bm25(texts)


def test_loading_from_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no BM25 index"):
        BM25Index.load(tmp_path)


def test_ties_are_ordered_by_row() -> None:
    assert build_bm25(["zebra"] * 300).search(["zebra"], 5).rows.tolist() == [[0, 1, 2, 3, 4]]


def test_words_of_many_scripts() -> None:
    assert words("Ärzte, naïve façades") == ["ärzte", "naïve", "façade"]
    assert words("東京都 is big") == ["東京", "京都", "big"]
    assert words("猫") == ["猫"]
    assert words("ls -l file_name.txt") == ["ls", "l", "file_name", "txt"]
