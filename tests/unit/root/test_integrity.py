"""A file is read once while it does not change, and a change is seen however it was made."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from embedlib import integrity
from embedlib.errors import CorruptArtifact
from embedlib.fingerprint import file_sha256
from embedlib.integrity import Checksums, FileEntry, OtherSchema, read_sealed, require_files, sealed


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read for their checksum."""
    seen: list[Path] = []

    def counted(path: Path) -> str:
        seen.append(path)
        return file_sha256(path)

    monkeypatch.setattr(integrity, "file_sha256", counted)
    return seen


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    """A file whose last change is longer ago than a time stamp is coarse."""
    path = tmp_path / "f"
    path.write_bytes(b"content")
    time.sleep(1.2 * integrity.SETTLED_NS / 1e9)
    return path


def flip(path: Path, at: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_file_that_does_not_change_is_read_once_by_any_number_of_processes(settled, reads, tmp_path):
    known, expected = Checksums(), file_sha256(settled)
    assert known.matches(settled, expected)
    assert known.matches(settled, expected)
    known.write(tmp_path / "remembered")
    assert Checksums.read(tmp_path / "remembered").matches(settled, expected)
    assert reads == [settled]


def test_a_byte_flipped_at_equal_size_and_time_is_seen(settled):
    known, expected, before = Checksums(), file_sha256(settled), settled.stat()
    assert known.matches(settled, expected)
    flip(settled)
    os.utime(settled, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert settled.stat().st_mtime_ns == before.st_mtime_ns
    assert not known.matches(settled, expected)


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, reads):
    path = tmp_path / "f"
    path.write_bytes(b"content")
    known = Checksums()
    for _ in range(2):
        assert known.matches(path, file_sha256(path))
    assert len(reads) == 2


@pytest.mark.parametrize("spoiled", [b"", b"{", b"\xff\xfe", b"[[1, 2]]", b"7", b"[" * 100_000])
def test_a_spoiled_memory_costs_a_reading_and_nothing_else(settled, tmp_path, spoiled):
    (tmp_path / "remembered").write_bytes(spoiled)
    known = Checksums.read(tmp_path / "remembered")
    assert known.matches(settled, file_sha256(settled))
    assert not known.matches(settled, "another")


def test_a_wrong_remembered_checksum_does_not_condemn_a_good_file(settled, tmp_path):
    known = Checksums()
    known.matches(settled, file_sha256(settled))
    known.write(tmp_path / "remembered")
    text = (tmp_path / "remembered").read_text()
    (tmp_path / "remembered").write_text(text.replace(file_sha256(settled), "0" * 64))
    assert Checksums.read(tmp_path / "remembered").matches(settled, file_sha256(settled))


@pytest.mark.parametrize("damage", ["gone", "folder", "shorter", "flipped"])
def test_the_damaged_file_is_named(settled, damage):
    files = {"f": FileEntry(bytes=7, sha256=file_sha256(settled))}
    require_files(settled.parent, files)
    if damage == "flipped":
        flip(settled)
    elif damage == "shorter":
        settled.write_bytes(b"c")
    else:
        settled.unlink()
    if damage == "folder":
        settled.mkdir()
    with pytest.raises(CorruptArtifact, match=r"(?s)/f\n.*remedy"):
        require_files(settled.parent, files)


def test_any_flipped_bit_of_a_sealed_record_is_seen(tmp_path):
    record = {"schema_version": 2, "name": "ä", "values": [1, 2.5, None], "nested": {"a": True}}
    path = tmp_path / "record.json"
    text = json.dumps(sealed(record), ensure_ascii=False).encode()
    for place in range(8 * len(text)):
        data = bytearray(text)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            assert read_sealed(path, 2) == record  # a space that became another space
        except (ValueError, OtherSchema):
            continue
    path.write_bytes(text)
    assert read_sealed(path, 2) == record
