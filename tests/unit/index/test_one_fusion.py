"""Search, evaluation and teacher fuse by one function: a (query, document) has one score."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_data import write_queries
from index_workspace import Workspace, load, words

from embedlib.contracts import Corpus
from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.index.search import Searcher
from embedlib.mining.teacher import HybridTeacher, TeacherDocuments, TeacherQueries, term_counts
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import vector_moments
from embedlib.retrieval.plan import HYBRID, Feedback, SearchPlan
from embedlib.retrieval.tokens import words as terms_of
from embedlib.vectors import Vectors

TEXTS = {i: text + " melon" * (n % 3) + " quiz" * (n % 2) for n, (i, text) in enumerate(words(300).items())}
QUERIES = {"q1": "melon quiz", "q2": "melon", "q3": TEXTS["doc0007"][:17]}


@pytest.fixture
def parts(workspace: Workspace):
    return workspace.parts(TEXTS)


def searched(workspace: Workspace, plan: SearchPlan, k: int) -> list[dict[str, float]]:
    found = Searcher(workspace.root).search(list(QUERIES.values()), k=k, mode=plan)
    return [{hit.doc_id: hit.score for hit in hits} for hits in found]


def evaluated(workspace: Workspace, parts, plan: SearchPlan, k: int) -> list[dict[str, float]]:
    corpus = Corpus(parts["corpus"].path)
    judged_queries = [(i, text, "test", "human", None, {"doc0001": 1}) for i, text in QUERIES.items()]
    folder = write_queries(workspace.root / "queries", judged_queries)
    judged = read_judged(corpus, folder, "test")["human"]
    system = DenseSystem("base", load(parts["model"].path), Vectors(parts["vectors"].path))
    on_set = ModelOnSet(judged, system, build_bm25(corpus.texts()), own_rows_of(corpus, judged))
    hits = on_set.answers(on_set.gather(k), k, plan)
    return [
        {corpus.ids[row]: float(score) for row, score in zip(*line, strict=True)}
        for line in zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)
    ]


def taught(parts) -> np.ndarray:
    corpus, vectors = Corpus(parts["corpus"].path), Vectors(parts["vectors"].path)
    bm25, texts = build_bm25(corpus.texts()), list(QUERIES.values())
    queries = load(parts["model"].path).encode_queries(texts)
    weights = bm25.engine.weights()
    counts = term_counts([bm25.engine.term_numbers(terms_of(t)) for t in texts], weights.shape[1])
    moments = lexical_scores(bm25, texts, 1, np.empty((3, 0), np.int64)).moments
    rows = np.arange(len(corpus))
    dense = vector_moments(vectors.blocks()).of_queries(queries)
    teacher = HybridTeacher(
        np.arange(3),
        TeacherQueries(queries, counts, np.stack([*dense, *moments], axis=1)),
        TeacherDocuments(rows, vectors.take(rows), weights[rows]),
    )
    teacher.save(vectors.folder.parent / "teacher")
    return HybridTeacher.load(vectors.folder.parent / "teacher").scores(np.arange(3), rows)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
def test_search_evaluation_and_teacher_give_a_document_the_same_score(workspace: Workspace, factory: str):
    parts = workspace.parts(TEXTS, factory=factory)
    workspace.publish(parts)
    found, scored, taught_scores = (
        searched(workspace, HYBRID, 50), evaluated(workspace, parts, HYBRID, 300), taught(parts)
    )  # fmt: skip
    row_of = Corpus(parts["corpus"].path).row_of
    for query, (hits, truth) in enumerate(zip(found, scored, strict=True)):
        assert len(hits) == 50
        for doc_id, score in hits.items():
            assert truth[doc_id] == pytest.approx(score, abs=1e-5)
            assert taught_scores[query, row_of[doc_id]] == pytest.approx(score, abs=1e-5)


def test_search_and_evaluation_agree_with_feedback_too(workspace: Workspace, parts):
    workspace.publish(parts)
    plan = SearchPlan(mode="hybrid", weight=0.5, feedback=Feedback())
    for hits, truth in zip(searched(workspace, plan, 50), evaluated(workspace, parts, plan, 50), strict=True):
        assert hits == pytest.approx(truth, abs=1e-5)


def test_an_index_of_shorter_vectors_keeps_their_moments(workspace: Workspace):
    parts = workspace.parts(TEXTS, dimension=9)
    workspace.publish(parts)
    searcher, vectors = Searcher(workspace.root), Vectors(parts["vectors"].path)
    short = vectors.load()[:, :9]
    short = short / np.linalg.norm(short, axis=1, keepdims=True)
    query = load(parts["model"].path).encode_queries(["melon quiz"])[:, :9]
    dense = (query / np.linalg.norm(query)) @ short.T
    lexical = build_bm25(Corpus(parts["corpus"].path).texts()).scores("melon quiz")[None]
    z = (dense - dense.mean()) / dense.std() + 0.3 * (lexical - lexical.mean()) / lexical.std()
    row_of = Corpus(parts["corpus"].path).row_of
    for hit in searcher.search("melon quiz", k=20, mode="hybrid"):
        assert hit.score == pytest.approx(z[0, row_of[hit.doc_id]], abs=1e-5)
