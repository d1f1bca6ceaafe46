from __future__ import annotations

import numpy as np
import pytest

from embedlib.contracts import Document, document_text
from embedlib.pairs.render import positive_text, without_passage
from embedlib.pairs.structural import (
    keyword_query,
    random_crop,
    random_sentences,
    split_sentences,
    structural_pairs,
)

LONG = (
    "The otter swims in the cold river. It eats freshwater crayfish and little else. Nobody counts them here."
)


def document(
    doc_id: str = "a", title: str = "", text: str = LONG, group: str = "g", meta: str = "{}"
) -> Document:
    return Document(doc_id, title, text, "s", group, "h", meta)


def made(documents: list[Document], *origins: str, **options: int) -> list[tuple[str, str, str]]:
    pairs = structural_pairs(documents, origins, len, np.random.default_rng(0), **options)
    return [(p.origin, p.query, p.doc_id) for p in pairs]


def test_title_pairs_need_a_title_and_a_body() -> None:
    documents = [
        document("a", "River otters"),
        document("b"),
        document("c", "River otters", "River otters. short"),
    ]
    assert made(documents, "title") == [("title", "River otters", "a")]


def test_heading_pairs_carry_the_title_as_context() -> None:
    meta = '{"heading": "Diet"}'
    documents = [document("a", "Otters", meta=meta), document("b", meta=meta), document("c", "Otters")]
    assert made(documents, "heading") == [("heading", "Otters: Diet", "a"), ("heading", "Diet", "b")]


def test_sentence_pairs_take_sentences_at_random() -> None:
    documents = [document(f"d{i}") for i in range(30)]
    queries = {query for _, query, _ in made(documents, "sentence")}
    assert queries == {s for s in split_sentences(LONG) if len(s.split()) >= 5}
    assert len(queries) > 1
    assert len(made([document()], "sentence", sentences=2)) == 2


def test_a_lone_sentence_gives_no_pair() -> None:
    assert made([document(text="The otter swims in the cold river.")], "sentence") == []


def test_every_document_long_enough_gives_a_crop_of_its_text_or_of_its_title() -> None:
    documents = [
        document("a", "Otters swim", LONG),
        document("b", "", "ls -la /tmp"),
        document("c", "A long title of seven words here", "None"),
    ]
    found = [(doc_id, query) for _, query, doc_id in made(documents, "crop")]
    assert [doc_id for doc_id, _ in found] == ["a", "c"]
    assert found[0][1] in LONG


def test_adjacent_and_same_document_passages_stay_within_their_group() -> None:
    documents = [document(f"p{i}", text=f"passage {i} " + "word " * 60, group="x") for i in range(3)]
    documents.append(document("q0", text="another document", group="y"))
    adjacent = made(documents, "adjacent")
    assert [(q.split()[1], d) for _, q, d in adjacent] == [("0", "p1"), ("1", "p2")]
    assert [(q.split()[1], d) for _, q, d in made(documents, "same_document")] == [("0", "p2")]
    assert all(len(q.split()) <= 40 for _, q, _ in adjacent)


def test_keyword_queries_are_the_heaviest_terms_in_text_order() -> None:
    idf = {"otter": 3.0, "eat": 1.0, "crayfish": 4.0, "river": 2.0}
    assert keyword_query("otter eat crayfish river", lambda t: idf[t], 2) == "otter crayfish"
    assert keyword_query("river river otter", lambda t: idf[t], 1) == "otter"  # 3/2.2 > 2*2/3.2
    assert keyword_query("river river river otter", lambda t: idf[t], 1) == "river"  # 3/2.2 < 2*3/4.2
    assert keyword_query("one", lambda t: 1.0, 2) == ""


@pytest.mark.parametrize(
    ("origin", "query"),
    [("title", "Otters swim"), ("sentence", "It eats freshwater crayfish and little else.")],
)
def test_the_query_is_taken_out_of_the_positive(origin: str, query: str) -> None:
    doc = document("a", "Otters swim", LONG)
    assert query in document_text(doc.title, doc.text)
    text = positive_text(doc, query, origin)
    assert query not in text
    assert "The otter swims" in text


def test_other_origins_see_the_whole_document() -> None:
    doc = document("a", "Otters swim", LONG)
    assert positive_text(doc, "Otters swim", "label") == document_text("Otters swim", LONG)


def test_a_positive_is_never_empty() -> None:
    doc = document("a", "Otters swim", "Otters swim")
    assert positive_text(doc, "Otters swim", "title") == "Otters swim Otters swim"
    assert positive_text(document(text="One sentence."), "One sentence.", "sentence") == "One sentence."


def test_a_heading_is_taken_out_and_the_title_stays() -> None:
    doc = document("a", "Otters", "Diet\nThey eat fish all day.", meta='{"heading": "Diet"}')
    assert positive_text(doc, "Otters: Diet", "heading") == "Otters They eat fish all day."


def test_passage_removal_ignores_white_space() -> None:
    assert without_passage("a  b\nc d", "b c") == "a d"
    assert without_passage("abc", "x") == "abc"


def test_sentences_of_cranfield_style_and_japanese() -> None:
    assert list(split_sentences("flow is laminar . it separates .")) == [
        "flow is laminar .",
        "it separates .",
    ]
    assert list(split_sentences("猫です。犬です。")) == ["猫です。", "犬です。"]


def test_sentences_are_found_verbatim() -> None:
    found = random_sentences(LONG, 5, np.random.default_rng(0))
    assert set(found) <= set(split_sentences(LONG))
    assert len(found) > 1
    assert len(random_sentences(LONG, 1, np.random.default_rng(0))) == 1


def test_crops_are_runs_of_words_and_need_enough_of_them() -> None:
    rng = np.random.default_rng(0)
    text = " ".join(f"w{i}" for i in range(30))
    for _ in range(50):
        crop = random_crop(text, rng)
        assert crop in text
        assert 3 <= len(crop.split()) <= 10
        assert len(random_crop("one two three four five six", rng).split()) == 3
    assert random_crop("one two three four five", rng) == ""
