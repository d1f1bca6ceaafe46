"""Searches from several threads while releases are published and rolled back."""

from __future__ import annotations

import threading

import index_workspace
import pytest
from index_workspace import Workspace, load, words

from embedlib.index.release import rollback
from embedlib.index.retention import retire
from embedlib.index.search import Searcher

SWAPS, THREADS = 20, 4


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setattr("embedlib.stages.index.load_encoder", index_workspace.load)
    monkeypatch.setattr("embedlib.models.local.load_encoder", index_workspace.load)
    return Workspace(tmp_path / "ws")


def test_no_error_and_no_answer_of_two_releases(workspace):
    """Two releases share neither documents nor model, so a mixed answer shows in its ids and scores."""
    texts = {s: {f"{s}{i}": t for i, t in enumerate(words(30, n).values())} for n, s in enumerate("ab")}
    parts = {s: workspace.parts(texts[s], shift=7 * n) for n, s in enumerate("ab")}
    side = {workspace.publish(parts["a"]).number: "a"}
    searcher = Searcher(workspace.root)
    encoders = {s: load(parts[s]["model"].path) for s in "ab"}
    query = "the quick brown fox"
    expected = {s: dict(zip(texts[s], _scores(encoders[s], query, texts[s]), strict=True)) for s in "ab"}
    errors: list[BaseException] = []
    answers: list[tuple[int, list]] = []
    stop = threading.Event()

    def search():
        try:
            while not stop.is_set():
                answers.append((len(answers), searcher.search(query, k=30)))
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=search) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for swap in range(SWAPS):
        if swap % 3 == 2:
            rollback(workspace.root)
        else:
            release = workspace.publish(parts["ab"[swap % 2]])
            side.setdefault(release.number, "ab"[swap % 2])
        retire(workspace.root, keep=2)
        seen = len(answers)
        while len(answers) < seen + 10 and not stop.is_set():
            threading.Event().wait(0.005)
    stop.set()
    for thread in threads:
        thread.join()

    assert not errors, errors[0]
    assert len(answers) >= SWAPS * 10
    for _, hits in answers:
        numbers = {hit.release for hit in hits}
        assert len(numbers) == 1
        mine = expected[side[numbers.pop()]]
        assert {hit.doc_id for hit in hits} == set(mine)
        assert all(abs(hit.score - mine[hit.doc_id]) < 1e-5 for hit in hits)
    assert len({hits[0].release for _, hits in answers}) >= SWAPS // 3


def _scores(encoder, query, texts):
    return (encoder.encode([query]) @ encoder.encode(list(texts.values())).T)[0]
