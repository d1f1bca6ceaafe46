"""Chunks: below the limit, at headings and sentences, nothing lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from records import json_of

from embedlib.contracts import Corpus, document_text
from embedlib.corpus.chunk import Cutter
from embedlib.corpus.markup import MARK, unmarked
from embedlib.corpus.titles import heading_of, section_of
from embedlib.corpus.tokens import TokenCounter


@pytest.fixture(scope="module")
def counter(minilm: Path) -> TokenCounter:
    return TokenCounter(minilm)


def _sentences(n: int) -> list[str]:
    return [f"Sentence number {i} says that river {i} is {i * 3} miles long." for i in range(n)]


def test_a_short_document_stays_whole(counter: TokenCounter) -> None:
    (piece,) = Cutter(counter, 64)("A title", f"{MARK} Heading\n\nA few words.")
    assert piece.text == "Heading\n\nA few words."


@pytest.mark.parametrize("overlap", [0, 20])
@pytest.mark.parametrize("max_tokens", [40, 64, 128])
def test_pieces_fit_and_end_at_sentences(counter: TokenCounter, max_tokens: int, overlap: int) -> None:
    sentences = _sentences(60)
    pieces = Cutter(counter, max_tokens, overlap)("The rivers", " ".join(sentences))
    assert len(pieces) > 3
    assert max(counter.count([f"The rivers {p.text}" for p in pieces])) <= max_tokens
    assert all(p.text.endswith("long.") and p.text.startswith("Sentence") for p in pieces)
    found = [s for p in pieces for s in re.findall(r"Sentence.*?long\.", p.text)]
    assert list(dict.fromkeys(found)) == sentences
    assert (len(found) > len(sentences)) == bool(overlap)


def test_overlap_repeats_the_end_of_the_piece_before(counter: TokenCounter) -> None:
    first, second, *_ = Cutter(counter, 64, 20)("", " ".join(_sentences(30)))
    assert first.text.split(". ")[-1] == second.text.split(". ")[0] + "."


def test_headings_begin_pieces_and_go_with_them(counter: TokenCounter) -> None:
    text = "\n\n".join(
        f"{MARK * 2} Part {part}\n\n" + " ".join(_sentences(5)) for part in ("one", "two", "three")
    )
    pieces = Cutter(counter, 128)("Rivers", text)
    assert [p.heading for p in pieces] == ["Part one", "Part two", "Part three"]
    assert all(p.text.startswith(f"{p.heading}\n\nSentence number 0") for p in pieces)


def test_small_sections_share_a_piece(counter: TokenCounter) -> None:
    text = "\n\n".join(f"{MARK} H{i}\n\nFew words." for i in range(40))
    pieces = Cutter(counter, 64)("", text)
    assert 5 < len(pieces) < 40


def test_one_endless_sentence_is_cut_between_words(counter: TokenCounter) -> None:
    words = [f"word{i}" for i in range(500)]
    pieces = Cutter(counter, 50)("", " ".join(words))
    assert " ".join(p.text for p in pieces).split() == words
    assert max(counter.count([p.text for p in pieces])) <= 50


def test_text_without_spaces_is_cut_between_characters(counter: TokenCounter) -> None:
    text = "漢字" * 400
    pieces = Cutter(counter, 50)("", text)
    assert "".join(p.text for p in pieces) == text
    assert max(counter.count([p.text for p in pieces])) <= 50


def test_pieces_never_pass_what_the_model_reads(counter: TokenCounter) -> None:
    pieces = Cutter(counter, 5000)("", " ".join(_sentences(200)))
    assert counter.limit == 256
    assert max(counter.count([p.text for p in pieces])) <= 256


def test_a_title_longer_than_a_piece_leaves_room_for_text(counter: TokenCounter) -> None:
    pieces = Cutter(counter, 32)("title " * 100, " ".join(_sentences(10)))
    assert all(p.text for p in pieces)
    assert max(counter.count([p.text for p in pieces])) <= 32


def test_marks_do_not_reach_the_corpus(counter: TokenCounter) -> None:
    assert unmarked(f"a\n{MARK * 3} b\nc") == "a\nb\nc"
    pieces = Cutter(counter, 32)("", "\n\n".join([f"{MARK} H", *_sentences(10)]))
    assert MARK not in "".join(p.text + p.heading for p in pieces)


def test_a_folder_is_cut_and_records_are_not(tmp_path: Path, jsonl, ingest, counter: TokenCounter) -> None:
    text = " ".join(_sentences(40))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "rivers.md").write_text(
        f"# Rivers\n\n## Long ones\n\n{text}\n\n## Short ones\n\nNone of them.\n"
    )
    corpus = ingest(folder, chunk={"max_tokens": 100})
    documents = list(Corpus(corpus.path).documents())
    assert len(documents) > 4
    assert [d.doc_id for d in documents] == [f"rivers.md#{i:04d}" for i in range(1, len(documents) + 1)]
    assert {(d.title, d.group_id, d.source) for d in documents} == {("Rivers", "rivers.md", "rivers.md")}
    assert max(counter.count([document_text(d.title, d.text) for d in documents])) <= 100
    assert heading_of(documents[0]) == "Long ones"
    assert section_of(documents[0]).startswith("Sentence number 0")
    assert json.loads(documents[1].metadata) == {"heading": "Long ones", "part": 2}
    assert json_of(corpus, "profile.json")["cut"] == 1
    whole = ingest(jsonl({"_id": "a", "text": text}, name="records.jsonl"))
    assert len(Corpus(whole.path)) == 1
    assert len(Corpus(ingest(folder, chunk={"mode": "off"}).path)) == 1
