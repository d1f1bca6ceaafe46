"""The retrievers, with the real frameworks; skipped where these are not installed."""

from __future__ import annotations

import warnings

import index_workspace
import pytest
from index_workspace import Workspace

from embedlib.index.search import Searcher


@pytest.fixture
def searcher(tmp_path, monkeypatch) -> Searcher:
    monkeypatch.setattr("embedlib.stages.index.load_encoder", index_workspace.load)
    workspace = Workspace(tmp_path / "ws")
    corpus = workspace.corpus(
        {"a": "apple banana", "b": "banana " * 200, "c": "cherry"}, {"a": {"lang": "en"}, "c": {"lang": "de"}}
    )
    model = workspace.model()
    vectors = workspace.vectors(corpus, model)
    index = workspace.index(corpus, model, vectors)
    workspace.publish({"corpus": corpus, "model": model, "vectors": vectors, "index": index})
    return Searcher(workspace.root, load=index_workspace.load)


def test_langchain_gets_whole_texts_with_their_metadata(searcher):
    pytest.importorskip("langchain_core")
    from embedlib.integrations.langchain import EmbedlibRetriever

    found = EmbedlibRetriever(searcher=searcher, k=2, mode="bm25").invoke("banana")
    assert {d.id for d in found} == {"a", "b"}
    by_id = {d.id: d for d in found}
    assert by_id["b"].page_content == ("banana " * 200).strip() or by_id["b"].page_content == "banana " * 200
    assert by_id["a"].metadata["lang"] == "en"
    assert by_id["a"].metadata["release"] == 1
    only = EmbedlibRetriever(searcher=searcher, filters={"lang": "de"}).invoke("banana")
    assert [d.id for d in only] == ["c"]


def test_langchain_chains_take_it(searcher):
    runnables = pytest.importorskip("langchain_core.runnables")
    from embedlib.integrations.langchain import EmbedlibRetriever

    context = runnables.RunnableLambda(lambda documents: "\n".join(d.page_content for d in documents))
    chain = EmbedlibRetriever(searcher=searcher, k=1) | context
    assert chain.invoke("cherry") == "cherry"
    assert chain.batch(["cherry", "apple banana"]) == ["cherry", "apple banana"]


@pytest.fixture
def llama_index():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports, not ours
        return pytest.importorskip("llama_index.core")


@pytest.mark.filterwarnings("ignore:::llama_index")
def test_llama_index_gets_nodes_with_scores(searcher, llama_index):
    from embedlib.integrations.llama_index import EmbedlibRetriever

    nodes = EmbedlibRetriever(searcher, k=2, mode="bm25").retrieve("banana")
    assert {n.node.node_id for n in nodes} == {"a", "b"}
    assert nodes[0].score >= nodes[1].score > 0
    assert next(n for n in nodes if n.node.node_id == "a").node.metadata["lang"] == "en"
    only = EmbedlibRetriever(searcher, filters={"lang": "de"}).retrieve("banana")
    assert [n.node.text for n in only] == ["cherry"]
