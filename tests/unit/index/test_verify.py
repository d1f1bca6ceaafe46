"""Every planted fault stops a publish; a sound index passes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from index_workspace import Workspace, load, words
from records import json_of

from embedlib.contracts import CHUNKS, CHUNKS_FILE, Corpus, write_table
from embedlib.errors import CorruptArtifact, MismatchError, VerificationError
from embedlib.index.catalog import current
from embedlib.index.verify import Checks, verify_index
from embedlib.vectors import Vectors


def verify(parts, **checks):
    checks.setdefault("encoder", load(parts["model"].path))
    return verify_index(
        parts["index"],
        Vectors(parts["vectors"].path),
        Corpus(parts["corpus"].path),
        parts["model"],
        Checks(**{"self_checks": 20, **checks}),
    )


def edit_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def parts(workspace: Workspace):
    return workspace.parts(words(40))


def test_a_sound_index_passes_and_gives_figures(parts):
    figures = verify(parts, canaries=((words(40)["doc0007"], "doc0007"),))
    assert figures["documents"] == 40
    assert figures["recall"] == 1.0
    assert figures["self_found"] == 1.0
    assert figures["self_cosine"] == pytest.approx(1.0, abs=1e-5)
    assert figures["canaries"] == 1


def test_self_checks_encode_only_the_sample(parts):
    encoder = load(parts["model"].path)
    verify(parts, encoder=encoder, self_checks=7)
    assert len(encoder.texts) == 7


def test_a_canary_that_is_not_found_or_not_there_is_named(workspace):
    texts = words(40) | {"zebra": "zzzz zzzz zzzz"}
    parts = workspace.parts(texts)
    with pytest.raises(VerificationError, match="'aaaaa' does not find 'zebra'"):
        verify(parts, canaries=(("aaaaa", "zebra"),), k=3)
    with pytest.raises(VerificationError, match=r"'ghost'.*not in the corpus"):
        verify(parts, canaries=(("a", "ghost"),))


def test_a_canary_names_a_document_that_was_cut(workspace):
    parts = workspace.parts(words(40) | {"z#0001": "zzzz zzzz", "z#0002": "zyzy zyzy"})
    rows = [{"doc_id": chunk, "document_id": "z"} for chunk in ("z#0001", "z#0002")]
    write_table(parts["corpus"].file(CHUNKS_FILE), rows, CHUNKS)
    assert verify(parts, canaries=(("zzzz", "z"),), k=3)["canaries"] == 1
    with pytest.raises(VerificationError, match="does not find 'z'"):
        verify(parts, canaries=(("aaaaa", "z"),), k=3)


def test_a_swapped_model_is_seen_by_its_vectors(parts):
    from index_workspace import ShiftedEncoder

    with pytest.raises(VerificationError, match="does not give the stored vector of document"):
        verify(parts, encoder=ShiftedEncoder(5))


def test_a_model_of_another_dimension_is_refused(parts):
    class Narrow:
        name = "narrow"

        def encode_documents(self, texts):
            return np.ones((len(texts), 3), dtype=np.float32)

    with pytest.raises(MismatchError, match="dimension"):
        verify(parts, encoder=Narrow())


def test_a_recall_below_the_target_stops_the_publish(workspace):
    corpus, model = workspace.corpus(words(300)), workspace.model()
    vectors = workspace.vectors(corpus, model)
    index = workspace.index(corpus, model, vectors, factory="LSH", recall_target=1.0, recall_k=10)
    info = json_of(index, "index.json")
    edit_json(index.file("index.json"), recall=info["recall"] | {"value": 0.8})
    with pytest.raises(VerificationError, match=r"recall@10 is 0\.8000, below the target 1"):
        verify({"corpus": corpus, "model": model, "vectors": vectors, "index": index})


def test_an_index_of_other_vectors_does_not_find_its_documents(workspace, parts):
    import faiss

    other = Vectors(parts["vectors"].path).load()[::-1].copy()
    index = faiss.IndexFlatIP(other.shape[1])
    index.add(other)
    faiss.write_index(index, str(parts["index"].file("index.faiss")))
    with pytest.raises(VerificationError, match="does not find itself"):
        verify(parts, k=3)


@pytest.mark.parametrize("value", [0.0, np.nan, 2.0])
def test_spoiled_vectors_are_named(parts, value):
    shard = parts["vectors"].file("shards/00000.npy")
    array = np.load(shard)
    array[4] = value
    np.save(shard, array)
    with pytest.raises(VerificationError, match="doc0004"):
        verify(parts)


def test_other_ids_than_the_corpus_are_refused(parts, workspace):
    other = workspace.parts({f"x{i}": t for i, t in enumerate(words(40).values())})
    with pytest.raises(VerificationError, match="ids are not the corpus's"):
        verify({**parts, "corpus": other["corpus"]})


def test_fewer_vectors_than_documents_are_refused(parts, workspace):
    with pytest.raises(VerificationError, match="counts differ"):
        verify({**parts, "corpus": workspace.corpus(words(41))})


@pytest.mark.parametrize("name", ["index.faiss", "index.json"])
def test_a_truncated_file_is_a_corrupt_artifact(parts, name):
    path = parts["index"].file(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptArtifact):
        verify(parts)
    with pytest.raises(CorruptArtifact, match=name.replace(".", r"\.")):
        parts["index"].require_intact()


def test_nothing_is_published_after_a_failed_check(workspace, parts):
    with pytest.raises(VerificationError):
        workspace.publish(parts, checks=Checks(canaries=(("a", "ghost"),), encoder=load(parts["model"].path)))
    assert current(workspace.root) is None
    assert not list((workspace.root / "releases").glob("[0-9]*"))


def test_a_changed_model_file_of_the_same_size_is_seen(workspace, parts):
    parts["model"].file("shift.json").write_text("7")
    with pytest.raises(CorruptArtifact, match=r"shift\.json"):
        workspace.publish(parts)
