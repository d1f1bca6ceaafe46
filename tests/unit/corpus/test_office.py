"""PDF, Office, mail, web and zip files: what stands in them is found, what cannot be read is named."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from pathlib import Path

import office_files as files
import pytest
from records import json_of

from embedlib.contracts import Corpus, Document
from embedlib.corpus.folder import read_folder
from embedlib.corpus.markup import unmarked
from embedlib.corpus.readers import apart, formats
from embedlib.corpus.readers.file import Bounds, File
from embedlib.corpus.readers.processes import ReadingProcess
from embedlib.corpus.readers.read import read_file
from embedlib.corpus.records import Record, Rejected
from embedlib.errors import DataError
from embedlib.retrieval.bm25 import build_bm25

BOUNDS = Bounds(max_mb=50, memory_mb=2048, timeout_s=60, max_characters=1_000_000)


def _read(name: str, data: bytes, bounds: Bounds = BOUNDS) -> list[Record | Rejected]:
    return list(read_file(File(name, data, "utf-8", bounds, read_file)))


def _documents(ref) -> list[Document]:
    return list(Corpus(ref.path).documents())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.mixed_folder(tmp_path_factory.mktemp("mixed"))


def test_a_folder_of_30_mixed_files_answers_questions_and_names_the_rest(mixed: Path, ingest) -> None:
    assert sum(path.is_file() for path in mixed.rglob("*")) == 30
    corpus = ingest(mixed)
    documents = _documents(corpus)
    bm25 = build_bm25(f"{d.title} {d.text}" for d in documents)
    hits = bm25.search(list(files.ANSWERS), 1)
    found = [documents[row].source for row in hits.rows[:, 0]]
    assert [source.startswith(name) for source, name in zip(found, files.ANSWERS.values(), strict=True)] == [
        True
    ] * len(files.ANSWERS), dict(zip(files.ANSWERS, found, strict=True))
    rows = [json.loads(line) for line in corpus.file("rejected.jsonl").read_text().splitlines()]
    reasons = {row["where"]: row["reason"] for row in rows}
    assert set(reasons) == set(files.SKIPPED)
    assert {name: why for name, why in files.SKIPPED.items() if not reasons[name].startswith(why)} == {}
    left_out = json_of(corpus, "profile.json")["left_out"]
    assert left_out["count"] == len(files.SKIPPED)
    assert left_out["by_suffix"][".pdf"] == {"damaged": 1, "encrypted": 1, "scanned": 1}
    assert left_out["by_suffix"][".jpg"] == {"no reader for .jpg": 1}
    assert left_out["named"] == rows


def test_a_pdf_keeps_pages_and_headings_and_drops_running_titles(tmp_path: Path, ingest) -> None:
    sentence = "Turn the valve until the needle of the gauge stands in the green field of the scale. "
    pages = [[f"# Step {n}", f"On day {n}: " + sentence * 6] for n in range(1, 7)]
    (tmp_path / "guide.pdf").write_bytes(files.pdf(pages, title="Valve guide", footer="Confidential page"))
    documents = _documents(ingest(tmp_path, chunk={"max_tokens": 150}))
    assert {d.title for d in documents} == {"Valve guide"}
    assert not [d for d in documents if "Confidential" in d.text]
    metadata = [json.loads(d.metadata) for d in documents]
    assert [(m["page"], m["heading"]) for m in metadata] == [(n, f"Step {n}") for n in range(1, 7)]
    assert all(m["pages"] == 6 for m in metadata)
    assert documents[2].text.startswith(
        "Step 3\n\nOn day 3: Turn the valve until the needle of the gauge stands"
    )
    assert documents[2].text.endswith(sentence.strip())


@pytest.mark.parametrize("title", ["(anonymous)", "Microsoft Word - q3.docx", "untitled", "report_final.doc"])
def test_a_title_that_a_program_made_up_is_none(title: str) -> None:
    (document,) = _read("a.pdf", files.pdf([["# Pump manual", "Open the valve."]], title=title))
    assert document.title == "Pump manual"
    (document,) = _read("pump_list.pdf", files.pdf([["Open the valve."]], title=title))
    assert document.title == "pump list"


def test_words_divided_at_a_line_end_are_made_whole() -> None:
    import io

    from reportlab.pdfgen import canvas

    out = io.BytesIO()
    page = canvas.Canvas(out)
    for height, line in enumerate(("This is an exam-", "ple of state-of-", "the-art hyphenation.")):
        page.drawString(40, 700 - 14 * height, line)
    page.save()
    (document,) = _read("a.pdf", out.getvalue())
    assert unmarked(document.text) == "This is an example of state-of-the-art hyphenation."


def test_a_pdf_that_is_scanned_in_part_says_which_pages() -> None:
    data = files.pdf([["The first page has text."], [], ["So has the third."]], picture=True)
    said, document = _read("half.pdf", data)
    assert said == Rejected("half.pdf", "scanned in part: no text on page 2", ignored=True)
    assert "The first page" in document.text
    assert "So has" in document.text


def test_word_headings_lists_and_tables_are_read() -> None:
    data = files.word(
        [(0, "Rules"), (1, "Travel"), (0, "By train."), (2, "Meals"), (0, "Lunch is paid.")],
        [["City", "Euro"]],
    )
    (document,) = _read("a/travel_rules.docx", data)
    assert document.title == "Travel"
    assert document.text == "Rules\n\nBy train.\n\n\ue000\ue000 Meals\n\nLunch is paid.\n\nCity\n\nEuro"


def test_slides_are_pages_with_their_notes() -> None:
    (document,) = _read("deck.pptx", files.slides([("One", "first", "spoken"), ("Two", "second", "")]))
    assert document.title == "One"
    assert document.metadata == {"pages": 2}
    assert document.text.split("\n\n") == [
        *("\ue0011", "\ue000\ue000 One", "first", "spoken"),
        *("\ue0012", "\ue000\ue000 Two", "second"),
    ]


def test_rows_of_a_sheet_name_their_columns() -> None:
    sheets = {
        "Stock": [["Part", "Count", "Checked"], ["bolt", 12.0, True], [None, None, None], ["nut", 3]],
        "Empty": [],
    }
    (document,) = _read("parts.xlsx", files.workbook(sheets))
    assert document.text == (
        "\ue000 Stock\n\nPart | Count | Checked\nPart: bolt; Count: 12; Checked: yes\nPart: nut; Count: 3"
    )


def test_a_page_is_read_without_its_menus_and_keeps_its_code() -> None:
    (page,) = _read("incident.html", files.INCIDENT.encode())
    assert page.title == "Incident report"
    assert "SELECT count(*)" in page.text
    assert "\ue000\ue000 Follow-up" in page.text
    assert "cookies" not in page.text
    assert "Section 7" not in page.text
    assert "All rights reserved" not in page.text


def test_a_page_in_which_no_main_content_is_found_is_read_whole() -> None:
    (page,) = _read("a.html", b"<title>T</title><p>short words</p><div>and more</div>")
    assert (page.title, page.text) == ("T", "short words\n\nand more")


def test_what_a_page_hides_is_not_read() -> None:
    html = (
        b'<p>seen</p><div hidden>hidden</div><div role="navigation">menu</div><p aria-hidden="true">icon</p>'
    )
    (page,) = _read("a.html", html)
    assert page.text == "seen"


def test_a_mail_and_its_attachment_are_one_group() -> None:
    data = files.message(
        "Hello", "<p>Dear <b>Bob</b></p>", html=True, attachments={"a.txt": b"attached", "b.exe": b"MZ"}
    )
    mail, attached, left_out = _read("x.eml", data)
    assert (mail.title, mail.text, mail.group_id) == ("Hello", "Dear Bob", "x.eml")
    assert mail.metadata == {
        "from": "Ada <ada@example.org>",
        "to": "bob@example.org",
        "date": "Mon, 06 May 2024 10:00:00 +0000",
    }
    assert (attached.doc_id, attached.text, attached.group_id) == ("x.eml/a.txt", "attached", "x.eml")
    assert left_out == Rejected("x.eml/b.exe", "no reader for .exe", ignored=True)


def test_messages_of_a_mailbox(tmp_path: Path) -> None:
    import email

    texts = ["From here on it is quiet.", "Second\n\nFrom me too."]
    files.mbox(tmp_path / "m.mbox", [files.message(f"S{n}", text) for n, text in enumerate(texts)])
    found = _read("m.mbox", (tmp_path / "m.mbox").read_bytes())
    assert [(r.doc_id, r.title, r.text.strip()) for r in found] == [
        ("m.mbox/000001", "S0", texts[0]),
        ("m.mbox/000002", "S1", texts[1]),
    ]
    assert email.message_from_bytes(files.message("S", "x"))["Subject"] == "S"
    assert _read("m.mbox", b"no mailbox")[0].reason.startswith("damaged")


def test_archives_inside_archives_end_somewhere() -> None:
    data = files.archive({"a.txt": b"deep words"})
    for _ in range(4):
        data = files.archive({"inner.zip": data})
    (rejected,) = _read("outer.zip", data)
    assert rejected.reason.startswith("nested too deeply")
    (record,) = _read("one.zip", files.archive({"two.zip": files.archive({"a.txt": b"words"})}))
    assert record.doc_id == "one.zip/two.zip/a.txt"


@pytest.mark.parametrize("name", ["../a.txt", "/etc/a.txt", "a/../../b.txt", "c:/a.txt", "..\\a.txt"])
def test_paths_that_leave_an_archive(name: str) -> None:
    (rejected,) = _read("a.zip", files.archive({name: b"x"}))
    assert rejected.reason == "a path that leaves the archive"


def test_a_link_inside_an_archive(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link.txt")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as stream:
        stream.writestr(entry, "/etc/passwd")
    (rejected,) = _read("a.zip", (tmp_path / "a.zip").read_bytes())
    assert rejected.reason == "a link inside an archive"


def test_an_archive_that_unpacks_to_more_than_is_allowed() -> None:
    data = files.archive({"a.txt": b"0" * 30_000_000})
    assert "a decompression bomb" in _read("a.zip", data)[0].reason
    small = Bounds(max_mb=1, memory_mb=2048, timeout_s=60, max_characters=1000)
    assert "30 MB unpacked (ingest.files.max_mb is 1)" in _read("a.zip", data, small)[0].reason


@pytest.mark.parametrize("kind", ["pdf", "xlsx"])
def test_a_text_longer_than_a_document_may_be(kind: str) -> None:
    small = Bounds(max_mb=50, memory_mb=2048, timeout_s=60, max_characters=300)
    words = ["many words " * 40]
    data = files.pdf([words, words]) if kind == "pdf" else files.workbook({"A": [words, words]})
    assert _read(f"a.{kind}", data, small)[0].reason == "too large: more than 300 characters of text"


def test_a_file_beyond_the_bounds_of_the_process_is_left_out_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(files.pdf([["readable"]]))
    (tmp_path / "many.html").write_bytes(b"<p>" + b"<b>x</b>" * 60_000)
    with closing(ReadingProcess("utf-8", BOUNDS)) as process:
        assert isinstance(next(process.read(tmp_path / "a.pdf", "a.pdf")), Record)
    slow = Bounds(max_mb=50, memory_mb=2048, timeout_s=0.001, max_characters=1000)
    with closing(ReadingProcess("utf-8", slow)) as process:
        (rejected,) = process.read(tmp_path / "many.html", "many.html")
        assert (
            rejected.reason == "too large: not read within the time allowed (ingest.files.timeout_s is 0.001)"
        )
        process.bounds = BOUNDS
        assert [type(item) for item in process.read(tmp_path / "a.pdf", "a.pdf")] == [Record]
        assert process._child is not None
        process._child.kill()
        process._child.wait()
        (rejected,) = process.read(tmp_path / "a.pdf", "a.pdf")
        assert rejected.reason == "damaged: the process that read it ended with SIGKILL"
        assert [type(item) for item in process.read(tmp_path / "a.pdf", "a.pdf")] == [Record]
    small = Bounds(max_mb=0.000001, memory_mb=2048, timeout_s=10, max_characters=1000)
    with closing(ReadingProcess("utf-8", small)) as process:
        assert "ingest.files.max_mb" in next(process.read(tmp_path / "a.pdf", "a.pdf")).reason


def test_a_file_that_needs_more_memory_than_allowed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "big.zip").write_bytes(
        files.archive({f"{n}.txt": b"%d" % n * 40_000_000 for n in range(1, 3)})
    )
    bounds = Bounds(max_mb=4000, memory_mb=300, timeout_s=60, max_characters=1000)
    with closing(ReadingProcess("utf-8", bounds)) as process:
        found = list(process.read(tmp_path / "big.zip", "big.zip"))
    assert found
    assert all(isinstance(item, Rejected) and "too large" in item.reason for item in found)


def test_the_process_is_given_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    (tmp_path / "a.html").write_text("<p>words</p>")
    with closing(ReadingProcess("utf-8", BOUNDS)) as process:
        list(process.read(tmp_path / "a.html", "a.html"))
        assert process._child is not None
        environment = Path(f"/proc/{process._child.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"secret-key" not in environment


def test_without_the_libraries_one_message_names_the_command(
    tmp_path: Path, ingest, rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    (tmp_path / "c.txt").write_text("words")
    version = formats.package_version
    monkeypatch.setattr(
        formats, "package_version", lambda name: "absent" if name == "pypdfium2" else version(name)
    )
    with pytest.raises(DataError, match=r"no installed library reads: 2 \.pdf") as error:
        ingest(tmp_path)
    assert 'pip install "embedlib[office]"' in error.value.remedy
    assert _read("a.pdf", b"%PDF")[0].reason == 'not installed: pypdfium2 (pip install "embedlib[office]")'


def test_another_version_of_a_reading_library_reads_again(
    tmp_path: Path, ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(files.pdf([["words to read"]]))
    first = ingest(tmp_path)
    version = formats.package_version
    monkeypatch.setattr(
        formats, "package_version", lambda name: "99.0" if name == "mammoth" else version(name)
    )
    assert ingest(tmp_path).fingerprint == first.fingerprint
    monkeypatch.setattr(
        formats, "package_version", lambda name: "99.0" if name == "pypdfium2" else version(name)
    )
    assert ingest(tmp_path).fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["handbook.pdf", "docs.zip"])
def test_a_single_file_is_a_source(name: str, tmp_path: Path, ingest) -> None:
    text = "One file is enough."
    data = files.pdf([[text]]) if name.endswith("pdf") else files.archive({"a.txt": text.encode()})
    (tmp_path / name).write_bytes(data)
    (document,) = _documents(ingest(tmp_path / name))
    assert document.text == text


def test_an_unreadable_file_ends_the_run_where_that_is_asked_for(tmp_path: Path, ingest) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "scan.pdf").write_bytes(files.pdf([[]], picture=True))
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="scanned"):
        ingest(tmp_path, on_bad_row="fail")
    assert len(_documents(ingest(tmp_path))) == 1


def test_what_was_left_out_is_shown_on_the_terminal(mixed: Path, ingest, capsys) -> None:
    from embedlib.cli.show import left_out

    corpus = ingest(mixed)
    left_out(corpus)
    shown = capsys.readouterr().out
    assert shown.startswith("15 files left out: ")
    assert ".pdf (1 damaged, 1 encrypted, 1 scanned)" in " ".join(shown.split())
    assert "bad/bomb.docx: too large" in shown
    assert str(corpus.file("rejected.jsonl")) in shown


def test_files_are_read_side_by_side_and_come_in_their_order(tmp_path: Path, monkeypatch) -> None:
    for number in range(9):
        (tmp_path / f"{number}.pdf").write_bytes(files.pdf([[f"page {number} {page}"] for page in range(3)]))
        (tmp_path / f"{number}a.txt").write_text(f"text {number}")
    (tmp_path / "4b.pdf").write_bytes(b"no PDF at all")
    found = {}
    for cores in (1, 3):
        monkeypatch.setattr(apart, "cpu_cores", lambda cores=cores: cores)
        found[cores] = list(
            read_folder(tmp_path, [".pdf", ".txt"], encoding="utf-8", max_bytes=10_000, bounds=BOUNDS)
        )
    assert found[1] == found[3]
    names = [item.where if isinstance(item, Rejected) else item.doc_id for item in found[3]]
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [type(item) for item in found[3]].count(Rejected) == 1
