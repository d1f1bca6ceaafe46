"""Searching a live release: modes, filters, groups, re-ranking, bad input, following releases."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time

import numpy as np
import pytest
from index_workspace import Workspace, load, words
from records import edit_record

from embedlib import integrity
from embedlib.errors import CorruptArtifact, DataError, MismatchError, ReleaseError, UserError
from embedlib.fingerprint import digest, file_sha256
from embedlib.index.answer import snippet
from embedlib.index.documents import Documents
from embedlib.index.query_batcher import QueryBatcher
from embedlib.index.release import rollback
from embedlib.index.retention import retire
from embedlib.index.search import Searcher
from embedlib.models.encoder import check_texts
from embedlib.retrieval.plan import Feedback, SearchPlan

TEXTS = {
    "a": "apple banana apple",
    "b": "banana cherry",
    "c": "cherry cherry date",
    "d": "zebra quiz",
    "e": "fig grape " * 40 + "the hidden melon is here " + "fig grape " * 40,
}
METADATA = {
    "a": {"lang": "en", "year": 2020, "tags": ["x", "y"]},
    "b": {"lang": "de", "year": 2021, "good": True},
    "c": {"lang": "en", "year": 2021},
    "d": {"lang": "fr", "year": 1},
}


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    corpus = workspace.corpus(TEXTS, METADATA, groups={"a": "fruit", "b": "fruit"})
    model = workspace.model()
    vectors = workspace.vectors(corpus, model)
    index = workspace.index(corpus, model, vectors)
    workspace.publish({"corpus": corpus, "model": model, "vectors": vectors, "index": index})
    return workspace


@pytest.fixture
def searcher(shop: Workspace) -> Searcher:
    return Searcher(shop.root)


def ids(hits):
    return [hit.doc_id for hit in hits]


def test_dense_hits_are_ordered_by_inner_product(searcher):
    hits = searcher.search("apple banana apple", k=5)
    encoder = load(searcher.root / "artifacts/model" / searcher.release.model.fingerprint)
    query, documents = encoder.encode(["apple banana apple"]), encoder.encode(list(TEXTS.values()))
    expected = dict(zip(TEXTS, (query @ documents.T)[0], strict=True))
    assert ids(hits) == sorted(expected, key=lambda i: -expected[i])
    assert [h.score for h in hits] == pytest.approx([expected[h.doc_id] for h in hits], abs=1e-5)
    assert [h.rank for h in hits] == [1, 2, 3, 4, 5]
    assert {h.release for h in hits} == {1}
    assert hits[0].metadata == METADATA["a"]
    assert hits[0].group_id == "fruit"


def test_bm25_finds_words_and_nothing_else(searcher):
    assert ids(searcher.search("zebra", mode="bm25")) == ["d"]
    assert searcher.search("unheard", mode="bm25") == []


def scores_of_all(searcher, query, mode):
    found = {hit.doc_id: hit.score for hit in searcher.search(query, k=5, mode=mode)}
    return np.array([found.get(i, 0.0) for i in TEXTS])


def test_hybrid_adds_weighted_z_scores(searcher):
    dense, lexical = (scores_of_all(searcher, "cherry", mode) for mode in ("dense", "bm25"))
    z = (dense - dense.mean()) / dense.std() + 0.3 * (lexical - lexical.mean()) / lexical.std()
    hits = searcher.search("cherry", k=5, mode="hybrid")
    expected = dict(zip(TEXTS, z, strict=True))
    assert ids(hits) == sorted(TEXTS, key=lambda i: -expected[i])
    assert [h.score for h in hits] == pytest.approx([expected[h.doc_id] for h in hits], abs=1e-5)


def test_a_plan_of_ones_own_is_followed(searcher):
    dense = ids(searcher.search("cherry", k=5))
    lexical = ids(searcher.search("cherry", k=5, mode="bm25"))
    score = lambda i: 1 / (61 + dense.index(i)) + (1 / (61 + lexical.index(i)) if i in lexical else 0)  # noqa: E731
    hits = searcher.search("cherry", k=5, mode=SearchPlan(mode="hybrid", fusion="rrf"))
    assert [h.score for h in hits] == pytest.approx([score(h.doc_id) for h in hits], abs=1e-6)
    assert ids(searcher.search("cherry", k=5, mode=SearchPlan(mode="hybrid", weight=0.0))) == dense


def test_filtered_hybrid_scores_are_those_of_the_whole_corpus(searcher):
    plan = SearchPlan(mode="hybrid", feedback=Feedback())
    for mode in ("hybrid", SearchPlan(mode="hybrid", weight=2.0), plan):
        whole = searcher.search("cherry", k=5, mode=mode)
        kept = searcher.search("cherry", k=5, mode=mode, filters={"lang": "en"})
        if mode is not plan:  # feedback moves the query towards what may be found
            expected = {h.doc_id: h.score for h in whole}
            assert [h.score for h in kept] == pytest.approx([expected[h.doc_id] for h in kept], abs=1e-5)
        assert set(ids(kept)) == {"a", "c"}


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_several_queries_give_the_same_as_one_by_one(searcher, mode):
    queries = ["cherry", "zebra quiz", "apple"]
    together = searcher.search(queries, k=3, mode=mode)
    assert [ids(hits) for hits in together] == [ids(searcher.search(q, k=3, mode=mode)) for q in queries]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"lang": "en"}, {"a", "c"}),
        ({"lang": ["en", "de"], "year": 2021}, {"b", "c"}),
        ({"tags": "y"}, {"a"}),
        ({"good": True}, {"b"}),
        ({"year": 1}, {"d"}),
        ({"year": True}, set()),
        ({"group_id": "fruit"}, {"a", "b"}),
        ({"source": "elsewhere"}, set()),
    ],
)
@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_filters_keep_exactly_the_documents_that_match(searcher, filters, expected, mode):
    assert set(ids(searcher.search("cherry apple", mode=mode, filters=filters))) == expected


def test_filtered_bm25(searcher):
    assert ids(searcher.search("cherry", mode="bm25", filters={"lang": "en"})) == ["c"]


def test_an_unknown_field_or_a_value_that_is_not_json_is_refused(searcher):
    with pytest.raises(DataError, match="'colour'") as error:
        searcher.search("x", filters={"colour": "red"})
    assert "lang" in error.value.expected
    with pytest.raises(DataError, match="not JSON"):
        searcher.search("x", filters={"lang": object()})


def test_a_wide_filter_asks_the_index_for_more_until_it_is_satisfied(workspace, monkeypatch):
    texts = words(400)
    metadata = {i: {"even": int(i[3:]) % 2 == 0} for i in texts}
    corpus, model = workspace.corpus(texts, metadata), workspace.model()
    vectors = workspace.vectors(corpus, model)
    index = workspace.index(corpus, model, vectors, factory="HNSW16")
    workspace.publish({"corpus": corpus, "model": model, "vectors": vectors, "index": index})
    searcher = Searcher(workspace.root)
    exact = ids(searcher.search("melon quiz", k=20, filters={"even": True}))
    monkeypatch.setattr("embedlib.index.snapshot.EXACT_FILTER", 10)
    oversampled = ids(searcher.search("melon quiz", k=20, filters={"even": True}))
    assert all(int(i[3:]) % 2 == 0 for i in oversampled)
    assert len(set(exact) & set(oversampled)) >= 18
    assert len(searcher.search("melon quiz", k=400, filters={"even": True})) == 200


def test_one_per_group_keeps_the_best_part(searcher):
    assert ids(searcher.search("banana", k=5, mode="bm25")) == ["b", "a"]
    assert ids(searcher.search("banana", k=5, mode="bm25", one_per_group=True)) == ["b"]
    grouped = ids(searcher.search("banana", k=4, one_per_group=True))
    assert len(grouped) == 4
    assert len({"a", "b"} & set(grouped)) == 1


def test_the_parts_of_few_long_documents_are_not_read_to_tell_their_groups(workspace, monkeypatch):
    texts = words(300)
    corpus, model = (
        workspace.corpus(texts, groups={i: f"book {int(i[3:]) % 2}" for i in texts}),
        workspace.model(),
    )
    vectors = workspace.vectors(corpus, model)
    index = workspace.index(corpus, model, vectors)
    workspace.publish({"corpus": corpus, "model": model, "vectors": vectors, "index": index})
    searcher = Searcher(workspace.root)
    read: list[int] = []
    get = Documents.get
    monkeypatch.setattr(Documents, "get", lambda self, row: read.append(row) or get(self, row))
    found = searcher.search("melon quiz", k=10, one_per_group=True)
    assert len({h.group_id for h in found}) == len(found) == len(read) == 2


def test_one_per_group_of_fused_hits_is_the_fused_ranking_without_the_later_parts(searcher):
    every = searcher.search("banana", k=5, mode="hybrid")
    seen: set[str] = set()
    best = [h for h in every if h.group_id not in seen and not seen.add(h.group_id)]
    grouped = searcher.search("banana", k=4, mode="hybrid", one_per_group=True)
    assert [(h.doc_id, h.score) for h in grouped] == [(h.doc_id, h.score) for h in best]
    assert len(grouped) == 4


def test_a_reranker_orders_the_first_hits_anew(searcher):
    seen = []

    def by_length(pairs):
        seen.extend(pairs)
        return np.array([-len(text) for _, text in pairs], dtype=np.float32)

    hits = searcher.search("apple", k=2, rerank=by_length)
    assert ids(hits) == ["d", "b"]  # the two shortest texts
    assert hits[0].score == -len(TEXTS["d"])
    assert {text for _, text in seen} == {text.strip() for text in TEXTS.values()}


def test_a_cross_encoder_is_loaded_once_by_name(searcher, monkeypatch):
    loaded = []

    def fake_loader(name):
        loaded.append(name)
        return lambda pairs: np.arange(len(pairs), dtype=np.float32)

    monkeypatch.setattr("embedlib.index.second_stage.load_cross_encoder", fake_loader)
    searcher.search("apple", rerank="cross")
    searcher.search("apple", rerank="cross")
    assert loaded == ["cross"]


@pytest.mark.parametrize("query", ["", "   \n", []])
def test_an_empty_query_is_refused(searcher, query):
    with pytest.raises(DataError):
        searcher.search(query)


def test_the_empty_one_of_several_queries_is_named(searcher):
    with pytest.raises(DataError, match="query 1 is empty"):
        searcher.search(["apple", " "])


@pytest.mark.parametrize("k", [0, -3, 2.5])
def test_k_below_one_is_refused(searcher, k):
    with pytest.raises(DataError, match="k must be at least 1"):
        searcher.search("apple", k=k)


def test_an_unknown_mode_is_refused(searcher):
    with pytest.raises(UserError, match="unknown search mode"):
        searcher.search("apple", mode="magic")


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_k_beyond_the_corpus_gives_all(searcher, mode):
    assert sorted(ids(searcher.search("apple", k=1000, mode=mode))) == sorted(TEXTS)


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_a_query_of_a_hundred_kilobytes_is_answered(searcher, mode):
    assert ids(searcher.search("cherry date " * 8500, k=1, mode=mode)) == ["c"]


def test_bm25_of_an_index_built_without_it_is_a_clear_error(workspace):
    workspace.publish(workspace.parts(words(12), bm25=False))
    searcher = Searcher(workspace.root)
    assert len(searcher.search("apple", k=3)) == 3
    with pytest.raises(UserError, match="no BM25 index"):
        searcher.search("apple", mode="bm25")


def test_a_corpus_without_words_has_dense_search_only(workspace):
    workspace.publish(workspace.parts({"a": "???", "b": "!!!"}))
    assert len(Searcher(workspace.root).search("apple")) == 2


def test_a_workspace_without_a_release_says_how_to_get_one(workspace):
    with pytest.raises(ReleaseError, match="nothing is published"):
        Searcher(workspace.root)


def test_a_model_folder_swapped_for_another_models_is_refused(shop):
    release = Searcher(shop.root).release
    ours, theirs = release.ref(shop.root, "model").path, shop.model(shift=9).path
    ours.rename(ours.with_name("away"))
    theirs.rename(ours)
    with pytest.raises(
        CorruptArtifact, match=r"(?s)the model artifact of release 1 .* another artifact's folder"
    ):
        Searcher(shop.root)


def test_a_model_built_anew_with_other_content_under_the_same_recipe_is_refused(shop):
    release = Searcher(shop.root).release
    folder = release.ref(shop.root, "model").path
    (folder / "shift.json").write_text("9")
    entry = {"bytes": 1, "sha256": file_sha256(folder / "shift.json")}
    edit_record(
        folder / "artifact.json",
        lambda r: r.update(files={"shift.json": entry}, digest=digest({"shift.json": entry["sha256"]})),
    )
    with pytest.raises(
        MismatchError, match="the model artifact of release 1 is not the one that was published"
    ):
        Searcher(shop.root)


def test_changed_weights_in_the_same_folder_are_refused(shop):
    model = Searcher(shop.root).release.ref(shop.root, "model")
    model.file("shift.json").write_text("9")
    with pytest.raises(CorruptArtifact, match=r"shift\.json"):
        Searcher(shop.root)


@pytest.mark.parametrize(
    ("part", "name"),
    [("index", "index.faiss"), ("index", "documents.arrow"), ("vectors", "shards/00000.npy")],
)
def test_zeros_at_the_end_of_a_file_are_seen_when_the_release_is_opened(shop, part, name):
    path = Searcher(shop.root).release.ref(shop.root, part).file(name)
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(-60, 2)
        stream.write(bytes(60))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(
        CorruptArtifact, match=rf"(?s)the {part} artifact of release 1 is damaged.*embedlib rollback"
    ):
        Searcher(shop.root)


def test_files_that_do_not_change_are_read_by_the_first_reader_alone(shop, monkeypatch):
    time.sleep(1.2 * integrity.SETTLED_NS / 1e9)
    Searcher(shop.root)
    monkeypatch.setattr(integrity, "file_sha256", lambda path: pytest.fail(f"{path} was read again"))
    Searcher(shop.root)


def test_a_part_that_is_gone_is_named_with_the_remedy(shop):
    shutil.rmtree(Searcher(shop.root).release.ref(shop.root, "vectors").path)
    with pytest.raises(
        ReleaseError, match=r"(?s)the vectors artifact of release 1 is gone.*embedlib rollback"
    ):
        Searcher(shop.root)


def test_a_lost_current_is_not_an_empty_workspace(shop):
    (shop.root / "releases" / "current").unlink()
    with pytest.raises(ReleaseError, match=r"(?s)releases/current is missing.*embedlib rollback --to 1"):
        Searcher(shop.root)


@pytest.mark.parametrize("name", ["index.faiss", "documents.arrow", "index.json"])
def test_a_truncated_file_of_the_index_is_refused(shop, name):
    path = Searcher(shop.root).release.ref(shop.root, "index").file(name)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CorruptArtifact, match=name.replace(".", r"\.")):
        Searcher(shop.root)


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def test_a_new_release_is_taken_in_the_background_and_whole(shop, searcher):
    shop.publish(shop.parts({"n1": "apple", "n2": "new zebra"}))
    first = searcher.search("zebra", k=5)  # answered by the old one, while the new one is opened
    assert {h.release for h in first} == {1}
    until(lambda: searcher.release.number == 2)
    assert {h.doc_id for h in searcher.search("zebra", k=5)} == {"n1", "n2"}
    rollback(shop.root)
    assert searcher.refresh().number == 1
    assert set(ids(searcher.search("zebra", k=5))) == set(TEXTS)


def test_a_hit_carries_the_whole_text(searcher):
    hit = searcher.search("hidden melon", k=1, mode="bm25")[0]
    assert hit.text == TEXTS["e"]
    assert len(hit.snippet) < len(hit.text)


def test_a_pinned_searcher_stays_with_its_release_and_loads_no_model_again(shop):
    loaded = []
    searcher = Searcher(shop.root, load=lambda folder: loaded.append(folder) or load(folder))
    shop.publish(shop.parts({"z": "zebra zebra"}))
    assert searcher.refresh().number == 2
    first = searcher.pinned(1)
    assert ids(first.search("zebra", k=1)) == ["d"]
    assert first.refresh().number == 1
    assert ids(searcher.search("zebra", k=1)) == ["z"]
    assert len(loaded) == 1
    with pytest.raises(ReleaseError):
        searcher.pinned(7)


def test_a_release_of_the_same_model_does_not_load_it_again(shop):
    loads = []

    def counting(folder):
        loads.append(folder)
        return load(folder)

    searcher = Searcher(shop.root, load=counting)
    shop.publish(shop.parts({"n1": "apple", "n2": "new zebra"}))
    searcher.refresh()
    assert searcher.release.number == 2
    assert len(loads) == 1


def test_a_new_release_that_cannot_be_opened_is_left_alone(shop, searcher, caplog):
    release = shop.publish(shop.parts({"n1": "apple", "n2": "zebra"}))
    release.ref(shop.root, "index").file("index.faiss").write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        searcher.search("zebra")
        until(lambda: "cannot be opened" in caplog.text)
    caplog.clear()
    assert {h.release for h in searcher.search("zebra")} == {1}
    time.sleep(0.1)
    assert caplog.text == ""  # it is not tried again at every search


def test_a_release_that_follows_lexical_searches_opens_its_words_beforehand(shop, searcher, monkeypatch):
    searcher.search("zebra", mode="bm25")
    shop.publish(shop.parts({"n1": "apple", "n2": "new zebra"}))
    searcher.search("zebra")
    until(lambda: searcher.release.number == 2)
    monkeypatch.setattr("embedlib.index.snapshot.open_bm25", lambda folder: pytest.fail("opened too late"))
    assert ids(searcher.search("zebra", mode="bm25")) == ["n2"]


def test_a_spoiled_current_does_not_stop_a_running_searcher(shop, searcher, caplog):
    link = shop.root / "releases" / "current"
    link.unlink()
    link.write_text("garbage")
    assert len(searcher.search("zebra", k=5)) == 5
    assert "release 1 goes on" in caplog.text
    caplog.clear()
    searcher.look()
    assert caplog.text == ""  # a server looks every second


def test_a_searcher_holds_its_release_against_retention(shop, searcher):
    for seed in range(3):
        shop.publish(shop.parts(words(12, seed), bm25=False))
    assert 1 not in retire(shop.root, keep=1)
    assert searcher.search("apple", k=1)[0].release == 1
    searcher.refresh()
    assert retire(shop.root, keep=1) == [1]


def test_waiting_threads_are_encoded_together_and_each_gets_its_own():
    class Slow:
        calls: list[int] = []  # noqa: RUF012

        def encode_queries(self, texts):
            check_texts(texts, "slow")
            self.calls.append(len(texts))
            time.sleep(0.05)
            return np.array([[len(t)] for t in texts], dtype=np.float32)

    encoder, answers, failures = QueryBatcher(Slow()), {}, []

    def ask(n):
        try:
            answers[n] = encoder.encode(["x" * n])[0, 0]
        except DataError as error:
            failures.append((n, error))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n for n in range(1, 12)}
    assert [n for n, _ in failures] == [0]  # the empty text fails alone
    assert max(Slow.calls) > 1


def test_snippet_shows_the_words_that_were_asked_for():
    text = TEXTS["e"]
    shown = snippet(text, "hidden melon")
    assert "hidden melon" in shown
    assert len(shown) <= 250
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_snippet_of_a_text_without_spaces_is_cut():
    assert len(snippet("x" * 5000, "y")) <= 250
