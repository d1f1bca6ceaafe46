"""A large document is tokenized in pieces: memory does not follow its length."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from embedlib.corpus import chunk, tokens
from embedlib.corpus.chunk import Cutter
from embedlib.corpus.folder import read_folder
from embedlib.corpus.readers import processes
from embedlib.corpus.readers.file import Bounds
from embedlib.corpus.records import Record, Rejected
from embedlib.corpus.sorting import ExternalSorter
from embedlib.corpus.tokens import TokenCounter

SENTENCES = " ".join(f"Sentence number {i} tells of a small house by the river." for i in range(400))
TEXTS = {
    "sentences": SENTENCES,
    "paragraphs": SENTENCES.replace(" Sentence", "\n\nSentence"),
    "no sentence": "word " * 4000,
    "no space": "x" * 20_000,
}


class Watched(TokenCounter):
    """Notes the most characters that its tokenizer was given at once."""

    most = 0

    def _count(self, texts: list[str]) -> list[int]:
        self.most = max(self.most, sum(map(len, texts)))
        return super()._count(texts)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_call_of_the_tokenizer_takes_the_whole_document(
    text: str, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Watched(minilm)
    whole = Cutter(counter, 64)("Title", text)
    assert counter.most >= len(text) * 0.9
    monkeypatch.setattr(tokens, "WINDOW", 1000)
    monkeypatch.setattr(chunk, "WINDOW", 1000)
    monkeypatch.setattr(chunk, "LONGEST_SENTENCE", 800)
    counter = Watched(minilm)
    cut = Cutter(counter, 64)("Title", text)
    assert counter.most <= 1000
    assert max(counter.count([f"Title {piece.text}" for piece in cut])) <= 64
    assert "".join(piece.text for piece in cut).replace(" ", "").replace("\n", "") == "".join(text.split())
    if text.startswith("Sentence"):
        assert cut == whole


def test_a_long_text_has_the_tokens_of_its_parts(minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = TokenCounter(minilm)
    expected = counter.count([SENTENCES, "a", SENTENCES[:900]])
    monkeypatch.setattr(tokens, "WINDOW", 1000)
    assert counter.count([SENTENCES, "a", SENTENCES[:900]]) == expected


def test_an_encoder_reads_no_further_than_it_must(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedlib.models import tokens as model_tokens
    from embedlib.models.local import load_encoder

    tokenizing = load_encoder(tiny_model)._tokenizing
    texts = [SENTENCES, "short", "x" * 5000]
    expected = tokenizing(texts)
    monkeypatch.setattr(model_tokens, "LONG", 600)
    assert len(tokenizing._beginning(SENTENCES)) <= 600
    assert tokenizing(texts) == expected


def test_runs_of_long_rows_are_read_in_small_batches(tmp_path: Path) -> None:
    import pyarrow as pa

    sorter = ExternalSorter(tmp_path, pa.schema([("id", pa.string()), ("text", pa.string())]), run_mb=4)
    for i in range(60):
        sorter.add((f"{i * 7 % 60:02d}", "x" * 100_000))
    with pa.OSFile(str(next(tmp_path.iterdir()))) as run, pa.ipc.open_stream(run) as reader:
        assert max(batch.num_rows for batch in reader) <= 10
    assert [row[0] for row in sorter] == [f"{i:02d}" for i in range(60)]


@pytest.mark.timeout(600)  # seconds, but minutes were seen on a machine whose memory others pressed
def test_large_markdown_is_read_within_the_memory_allowed(tmp_path: Path) -> None:
    """Parsed, a table takes 140 times its size: in the process of the run nothing would bound it."""
    row = "| river | stone |\n"
    (tmp_path / "large.md").write_text("| a | b |\n| --- | --- |\n" + row * (4_100_000 // len(row)))
    (tmp_path / "small.md").write_text("# Small\n\nriver stone\n")
    bounds = Bounds(max_mb=200, memory_mb=300, timeout_s=600, max_characters=10_000_000)
    large, small = read_folder(tmp_path, [".md"], encoding="utf-8", max_bytes=10_000_000, bounds=bounds)
    assert isinstance(large, Rejected)
    assert "ingest.files.memory_mb is 300" in large.reason
    assert isinstance(small, Record)
    (large, _) = read_folder(tmp_path, [".md"], encoding="utf-8", max_bytes=1_000_000, bounds=bounds)
    assert isinstance(large, Rejected)
    assert "max_document_mb" in large.reason


def test_a_long_document_comes_from_its_process_in_time_that_follows_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_BLOCK", 128)  # so that 4 MB are as many blocks as a hundred times that
    path = tmp_path / "long.md"
    path.write_text("word " * 800_000)
    bounds = Bounds(max_mb=10, memory_mb=4000, timeout_s=10, max_characters=10**7)
    started = (
        time.process_time()
    )  # of this process, whatever else the machine does: 0.3 s, or 17 by the square
    with closing(processes.ReadingProcess("utf-8", bounds)) as process:
        (record,) = process.read(path, "long.md")
    assert time.process_time() - started < 5
    assert isinstance(record, Record), record
    assert len(record.text.split()) == 800_000
