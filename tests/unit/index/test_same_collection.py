"""A refresh takes the place of the same documents in another state, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_data import write_corpus

from embedlib.artifact import ArtifactRef
from embedlib.config.index import Publish
from embedlib.errors import UserError
from embedlib.stages.publish import require_same_collection
from embedlib.store import Recipe, Store

ANIMALS = ("otter", "heron", "badger", "salmon", "lynx", "owl", "toad", "newt", "hare", "crane")
TOOLS = ("hammer", "chisel", "plane", "saw", "rasp", "drill", "clamp", "file", "awl", "gouge")


def texts(words: tuple[str, ...], documents: int = 40) -> dict[str, str]:
    """Documents numbered from 1: of words of one subject, and a few that every text has."""
    return {
        str(n): f"what is known of {words[n % 10]} {n}: {' '.join(words[n % 4 :])} and the {words[n // 9]}"
        for n in range(1, documents + 1)
    }


@pytest.fixture
def corpus(tmp_path: Path):
    def make(texts: dict[str, str], cut_from: dict[str, str] | None = None) -> ArtifactRef:
        recipe = Recipe("ingest", "corpus", "", {"texts": texts, "cut": cut_from})

        def write(work):
            write_corpus(work.out, texts, cut_from=cut_from, groups=cut_from)
            return {}

        return Store(tmp_path / "ws").build(recipe, write).ref

    return make


def test_numbers_that_two_collections_share_make_them_no_one_collection(corpus):
    live, other = corpus(texts(ANIMALS)), corpus(texts(TOOLS))
    with pytest.raises(UserError, match=r"other documents.*under the same ids") as caught:
        require_same_collection(Publish(), live, other)
    assert "% of 40" in caught.value.found
    assert "--replace-documents" in caught.value.remedy
    require_same_collection(Publish(replace_documents=True), live, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {n: f"Edited. {text.replace('known', 'told')}" for n, text in t.items()},
        lambda t: {n: f"{text} {'a long new chapter on something else ' * 9}" for n, text in t.items()},
        lambda t: {n: " ".join(text.split()[:6]) for n, text in t.items()},
        lambda t: {
            n: text if int(n) <= 8 else "rewritten from the first word to the last" for n, text in t.items()
        },
    ],
    ids=["edited", "lengthened", "cut", "mostly rewritten"],
)
def test_the_same_documents_in_another_state_are_let_in(corpus, change):
    require_same_collection(Publish(), corpus(texts(ANIMALS)), corpus(change(texts(ANIMALS))))


def test_the_same_documents_in_chunks_are_let_in(corpus):
    whole = texts(ANIMALS)
    chunks = {f"{n}#{i}": part for n, t in whole.items() for i, part in enumerate((t[:60], t[60:]))}
    cut = corpus(chunks, {name: name.partition("#")[0] for name in chunks})
    require_same_collection(Publish(), corpus(whole), cut)
