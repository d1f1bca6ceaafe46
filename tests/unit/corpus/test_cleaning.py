"""Cleaning, duplicates, ordering and the profile."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from records import json_of

from embedlib.contracts import CORPUS, Corpus, content_hash, read_rows
from embedlib.corpus.build import build_corpus, read_aliases
from embedlib.corpus.clean import clean, clean_title
from embedlib.corpus.profile import main_script, sample_rows, token_figures
from embedlib.corpus.records import Record
from embedlib.corpus.rejects import Rejects
from embedlib.errors import DataError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("  edges \t", "edges"),
        ("cafe\u0301", "café"),
        ("a\x00b\x1fc\x7fd\x85e", "abcd\ne"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a \n\n\n\n b", "a\n\n b"),
        ("tab\tstays", "tab\tstays"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("\u202eright to left\u202c", "right to left"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("\x00\x01", ""),
    ],
)
def test_clean(raw: str, expected: str) -> None:
    assert clean(raw) == expected
    assert clean(clean(raw)) == clean(raw)
    assert unicodedata.is_normalized("NFC", clean(raw))


def test_a_title_is_one_line() -> None:
    assert clean_title(" A\n title\twith\u00a0spaces ") == "A title with spaces"


def test_equal_texts_are_one_document_and_labels_follow(jsonl, ingest) -> None:
    path = jsonl(
        {"_id": "c", "title": "T", "text": "same words"},
        {"_id": "a", "title": "T", "text": "same  words".replace("  ", " ")},
        {"_id": "b", "title": "T", "text": "same words "},
        {"_id": "d", "title": "U", "text": "same words"},
        name="plain.jsonl",
    )
    corpus = ingest(path)
    assert Corpus(corpus.path).ids == ["a", "d"]
    assert read_aliases(corpus.path) == {"b": "a", "c": "a"}
    profile = json_of(corpus, "profile.json")
    assert (profile["records"], profile["documents"], profile["duplicates_dropped"]) == (4, 2, 2)


def test_rows_keep_the_contract(jsonl, ingest) -> None:
    corpus = ingest(
        jsonl({"_id": "b", "title": "", "text": "two"}, {"_id": "a", "title": "only a title", "text": ""})
    )
    first, second = read_rows(corpus.file("corpus.parquet"))
    assert list(first) == CORPUS.names
    assert (first["doc_id"], first["title"], first["text"]) == ("a", "", "only a title")
    assert first["content_hash"] == content_hash("only a title", "")
    assert (second["group_id"], second["metadata"]) == ("b", "{}")
    assert json_of(corpus, "profile.json")["title_only"] == 1


def _build(records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch, run_mb: float) -> bytes:
    from embedlib.corpus import build

    def small(path: Path, schema: object, _: float = 0) -> object:
        return sorting.ExternalSorter(path, schema, run_mb)

    from embedlib.corpus import sorting

    monkeypatch.setattr(build, "ExternalSorter", small)
    folder.mkdir()
    with Rejects(folder / "rejected.jsonl", "skip", "test", "x") as rejects:
        build_corpus(records, folder, folder / "scratch", rejects=rejects, drop_duplicates=True)
    return (folder / "corpus.parquet").read_bytes()


def test_spilling_to_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [Record(f"id{i * 7919 % 1000:04d}", "", f"text {i % 700}", f"f:{i}") for i in range(1100)]
    in_memory = _build(records, tmp_path / "one", monkeypatch, 1000)
    spilled = _build(records, tmp_path / "two", monkeypatch, 0.01)
    assert in_memory == spilled
    assert (tmp_path / "two" / "scratch" / "rows").is_dir()
    assert not list((tmp_path / "two" / "scratch" / "rows").iterdir())
    rejected = (tmp_path / "two" / "rejected.jsonl").read_text()
    assert len(rejected.splitlines()) == 100
    assert "duplicate id 'id0000' (first at f:0)" in json.loads(rejected.splitlines()[0])["reason"]


WORDS = (
    "a long text about how rivers carve valleys into mountains over many thousands of years of steady rain"
)


def _near(ingest, jsonl, **options):
    documents = [
        {"_id": "a", "text": WORDS},
        {"_id": "b", "text": WORDS.upper() + "!"},
        {"_id": "c", "text": WORDS + " and snow"},
        {"_id": "d", "text": "another text that shares no run of three words with the first one at all"},
    ]
    return ingest(jsonl(*documents, name="near.jsonl"), near_duplicates={"threshold": 0.85, **options})


def test_near_duplicates_are_reported(jsonl, ingest) -> None:
    corpus = _near(ingest, jsonl)
    near = json_of(corpus, "profile.json")["near_duplicates"]
    assert (near["documents"], near["clusters"], near["dropped"]) == (2, 1, 0)
    assert near["examples"][0] == {"ids": ["a", "b"], "jaccard": 1.0}
    assert len(Corpus(corpus.path)) == 4


def test_near_duplicates_are_dropped_and_labels_follow(jsonl, ingest) -> None:
    corpus = _near(ingest, jsonl, action="drop")
    assert Corpus(corpus.path).ids == ["a", "d"]
    assert read_aliases(corpus.path) == {"b": "a", "c": "a"}
    assert json_of(corpus, "profile.json")["documents"] == 2


def test_near_duplicates_are_not_looked_for_in_a_large_corpus_and_that_is_said(jsonl, ingest) -> None:
    near = json_of(_near(ingest, jsonl, max_documents=3), "profile.json")["near_duplicates"]
    assert near == {"documents": None, "why": "not looked for above 3 documents"}
    assert json_of(_near(ingest, jsonl, action="off"), "profile.json")["near_duplicates"]["why"] == "off"


def test_token_figures() -> None:
    figures = token_figures([10, 20, 300, 256], 256)
    assert figures.truncated_share == 0.25
    assert (figures.mean, figures.longest) == (146.5, 300)
    assert {k: v for k, v in figures.histogram.items() if v} == {"0+": 1, "16+": 1, "256+": 2}


def test_profile_counts_tokens_as_the_model_does(jsonl, ingest, minilm: Path) -> None:
    from transformers import AutoTokenizer

    texts = ["unbelievable tokenization", "короткий", "words " * 300]
    corpus = ingest(jsonl(*({"_id": str(i), "text": text} for i, text in enumerate(texts))))
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    lengths = [len(tokenizer(text.strip(), truncation=False, verbose=False)["input_ids"]) for text in texts]
    tokens = json_of(corpus, "profile.json")["tokens"]
    assert tokens["limit"] == 256
    assert tokens["longest"] == max(lengths) == 302
    assert tokens["mean"] == round(sum(lengths) / 3, 1)
    assert tokens["truncated_share"] == 0.3333


def test_limits_end_the_run_with_the_remedy(jsonl, ingest) -> None:
    path = jsonl({"_id": "a", "text": "words " * 300}, {"_id": "b", "text": "short"}, name="long.jsonl")
    with pytest.raises(DataError, match="truncated_share is above its limit") as error:
        ingest(path, limits={"truncated_share": 0.05})
    assert error.value.found == "50.0%"
    assert "chunk.mode=on" in error.value.remedy
    ingest(path, limits={"truncated_share": 0.05}, chunk={"mode": "on"})
    path = jsonl({"_id": "a", "text": "same"}, {"_id": "b", "text": "same"}, name="same.jsonl")
    with pytest.raises(DataError, match="duplicate_share"):
        ingest(path, limits={"duplicate_share": 0.4})


def test_scripts_and_samples() -> None:
    assert main_script("Ελληνικά και english") == "Greek"
    assert main_script("日本語のテキスト") in ("Cjk", "Hiragana", "Katakana")
    assert sample_rows(5, 10) == [0, 1, 2, 3, 4]
    assert sample_rows(1000, 3) == [0, 333, 666]


def test_a_large_corpus_is_profiled_on_a_sample_and_says_so(jsonl, ingest, monkeypatch) -> None:
    monkeypatch.setattr("embedlib.corpus.profile.PROFILED", 20)
    path = jsonl(*({"_id": f"{i:03d}", "text": f"text number {i}"} for i in range(50)))
    profile = json_of(ingest(path), "profile.json")
    assert (profile["documents"], profile["sampled"]) == (50, 20)
    assert sum(profile["scripts"].values()) == 20


def test_the_same_input_gives_the_same_bytes(jsonl, ingest, tmp_path: Path) -> None:
    from embedlib.store import Store

    path = jsonl(*({"_id": f"{i % 7}{i:03d}", "text": f"text {i}"} for i in range(300)))
    first = ingest(path)
    from embedlib.config.data import Ingest
    from embedlib.stages.base import run_stage
    from embedlib.stages.ingest import STAGE

    again = run_stage(Store(tmp_path / "other"), STAGE, Ingest(source={"type": "auto", "path": path})).ref
    assert again.digest == first.digest
