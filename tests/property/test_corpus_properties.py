"""What holds for every input: leaks found exactly, splits disjoint, order and text kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.corpus.chunk import Cutter
from embedlib.corpus.clean import clean
from embedlib.corpus.leaks import LeakFilter, near_groups, trigrams
from embedlib.corpus.sorting import ExternalSorter
from embedlib.corpus.split_queries import split_queries
from embedlib.corpus.titles import bare, without_opening

short_texts = st.text(alphabet="abcd ", min_size=0, max_size=14)
thresholds = st.sampled_from([0.3, 0.5, 0.6, 0.75, 0.8, 0.9, 1.0])


def _jaccard(a: str, b: str) -> float:
    x, y = trigrams(a), trigrams(b)
    return len(x & y) / len(x | y)


@given(st.lists(short_texts, max_size=25), short_texts, thresholds)
@settings(max_examples=300, deadline=None)
def test_the_leak_filter_finds_what_brute_force_finds(held: list[str], query: str, threshold: float) -> None:
    expected = [i for i, text in enumerate(held) if _jaccard(text, query) >= threshold - 1e-9]
    assert LeakFilter(held, threshold).matches(query) == expected


@given(st.lists(short_texts, min_size=1, max_size=20), thresholds)
@settings(max_examples=100, deadline=None)
def test_near_groups_are_the_connected_components(texts: list[str], threshold: float) -> None:
    root = list(range(len(texts)))
    for i, first in enumerate(texts):
        for j in range(i):
            if _jaccard(first, texts[j]) >= threshold - 1e-9:
                low, high = sorted((root[i], root[j]))
                root = [low if r == high else r for r in root]
    assert near_groups(texts, threshold) == root


def test_one_question_a_thousand_times_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    alike = LeakFilter._alike
    monkeypatch.setattr(LeakFilter, "_alike", lambda self, a, b: compared.append(1) or alike(self, a, b))
    template = "what is the current status of my order number {:04d}, and when will it be here".format
    queries = ["how do I reset my password?"] * 1000 + [template(i) for i in range(300)]
    assert near_groups(queries, 0.8) == [0] * 1000 + [1000] * 300
    assert len(compared) < 3 * 300, "each with one of its template, not each with each"


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=60),
    st.integers(1, 20),
    st.integers(0, 10),
    st.integers(0, 2**16),
)
@settings(max_examples=200, deadline=None)
def test_new_splits_share_no_query_and_no_document(
    judged: list[list[int]], test: int, dev: int, seed: int
) -> None:
    queries = {f"q{i}": f"{i:06b}" * 3 for i in range(len(judged))}
    groups = {f"q{i}": frozenset(map(str, documents)) for i, documents in enumerate(judged)}
    made = split_queries(queries, groups, {"test": test, "dev": dev}, np.random.default_rng(seed), 0.9)
    assert made.split.keys() == queries.keys()
    sizes = [list(made.split.values()).count(name) for name in ("test", "dev")]
    assert sizes[0] <= test
    assert sizes[1] <= dev
    near = near_groups(list(queries.values()), 0.9)
    for i, first in enumerate(queries):
        assert made.split[first] == made.split[f"q{near[i]}"]
    if made.how == "queries":
        return
    documents: dict[str, set[str]] = {"test": set(), "dev": set(), "train": set()}
    for query, name in made.split.items():
        documents[name] |= {g for g in groups[query] if (query, g) not in made.left_out}
    assert not documents["train"] & (documents["test"] | documents["dev"])
    assert not documents["dev"] & documents["test"]


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=30)), max_size=80), st.floats(1e-5, 1e-2))
@settings(max_examples=60, deadline=None)
def test_sorting_on_disk_is_stable_sorting(rows: list[tuple[str, str]], run_mb: float) -> None:
    rows = [(clean(key), clean(value)) for key, value in rows]
    schema = pa.schema([("key", pa.string()), ("value", pa.string())])
    with tempfile.TemporaryDirectory() as folder:
        sorter = ExternalSorter(Path(folder), schema, run_mb)
        for row in rows:
            sorter.add(row)
        assert list(sorter) == sorted(rows, key=lambda row: row[0])
        assert list(sorter) == sorted(rows, key=lambda row: row[0])


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_clean_is_idempotent_and_writable(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    cleaned.encode()


@given(st.text(alphabet="ab .,-", max_size=12), st.text(alphabet="ab .,-", max_size=30))
def test_an_opening_is_taken_off_or_left_whole(opening: str, rest: str) -> None:
    left = without_opening(f"{opening} {rest}", opening)
    assert bare(left) in (bare(rest), bare(f"{opening} {rest}"))
    assert bare(f"{opening} {left}") == bare(f"{opening} {rest}") or not bare(opening)


class _Words:
    """Counts words as tokens, two special ones added, as a tokenizer would."""

    special = 2
    limit = None

    def count(self, texts: list[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=30), min_size=1, max_size=12),
    st.integers(16, 40),
    st.integers(0, 8),
)
@settings(max_examples=200, deadline=None)
def test_chunks_hold_every_word_in_order_and_fit(
    paragraphs: list[list[int]], limit: int, overlap: int
) -> None:
    number = 0
    text = []
    for paragraph in paragraphs:
        sentences = []
        for words in paragraph:
            sentences.append(" ".join(f"W{number + i}" for i in range(words)) + ".")
            number += words
        text.append(" ".join(sentences))
    pieces = Cutter(_Words(), limit, overlap)("", "\n\n".join(text))  # type: ignore[arg-type]
    found = [word.strip(".") for piece in pieces for word in piece.text.split()]
    assert list(dict.fromkeys(found)) == [f"W{i}" for i in range(number)]
    assert max(len(piece.text.split()) + 2 for piece in pieces) <= limit
    if not overlap:
        assert len(found) == number
