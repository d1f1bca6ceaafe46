"""What can happen to a file: bits flip, ends are lost, bytes become others, names point elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

Damage = Callable[[np.random.Generator, Path], None]


def flip_bit(rng: np.random.Generator, path: Path) -> None:
    """One bit, anywhere."""
    _edit(path, lambda data: _flip(rng, data))


def flip_high_bit(rng: np.random.Generator, path: Path) -> None:
    """The highest bit of a byte: a text is no UTF-8 any more."""
    _edit(path, lambda data: _xor(data, int(rng.integers(len(data))), 0x80))


def truncate(rng: np.random.Generator, path: Path) -> None:
    """The end is lost."""
    _edit(path, lambda data: data[: int(rng.integers(len(data)))])


def zero_tail(rng: np.random.Generator, path: Path) -> None:
    """Zeros at the end, as a power cut leaves them."""
    _edit(path, lambda data: data[: (at := int(rng.integers(len(data))))] + bytes(len(data) - at))


def random_bytes(rng: np.random.Generator, path: Path) -> None:
    """Other bytes of the same number."""
    _edit(path, lambda data: rng.bytes(len(data)))


def random_block(rng: np.random.Generator, path: Path) -> None:
    """A sector of other bytes."""
    at, block = int(rng.integers(path.stat().st_size or 1)), rng.bytes(int(rng.integers(1, 512)))
    _edit(path, lambda data: data[:at] + block[: len(data) - at] + data[at + len(block) :])


def append(rng: np.random.Generator, path: Path) -> None:
    """More bytes than were written."""
    _edit(path, lambda data: data + rng.bytes(int(rng.integers(1, 64))))


def deep_json(rng: np.random.Generator, path: Path) -> None:
    """JSON that no parser follows to its end."""
    path.write_bytes(b"[" * int(rng.integers(1, 200_000)))


def other_json(rng: np.random.Generator, path: Path) -> None:
    """Valid JSON of another shape."""
    path.write_text(
        str(rng.choice(["{}", "[]", "null", "7", '"x"', '{"schema_version": 2}', "1e999", "NaN"]))
    )


def remove(rng: np.random.Generator, path: Path) -> None:
    """The file is gone."""
    path.unlink()


def folder_instead(rng: np.random.Generator, path: Path) -> None:
    """A folder stands in its place."""
    path.unlink()
    path.mkdir()


def dead_link(rng: np.random.Generator, path: Path) -> None:
    """A link to nothing stands in its place."""
    path.unlink()
    path.symlink_to("nowhere")


def loop_link(rng: np.random.Generator, path: Path) -> None:
    """A link to itself stands in its place."""
    path.unlink()
    path.symlink_to(path.name)


def neighbour(rng: np.random.Generator, path: Path) -> None:
    """The content of another file of the same name, from another folder."""
    named = path.parent.parent.glob(f"*/{path.name}")
    others = sorted(p for p in named if p.is_file() and not p.samefile(path))
    if others:
        shutil.copyfile(others[int(rng.integers(len(others)))], path)


DAMAGES: tuple[Damage, ...] = (
    flip_bit, flip_bit, flip_high_bit, truncate, zero_tail, random_bytes, random_block, append, deep_json,
    other_json, remove, folder_instead, dead_link, loop_link, neighbour,
)  # fmt: skip


def remove_folder(rng: np.random.Generator, path: Path) -> None:
    """The whole folder is gone."""
    shutil.rmtree(path)


def swap_folder(rng: np.random.Generator, path: Path) -> None:
    """Two folders have changed places."""
    others = sorted(p for p in path.parent.iterdir() if p.is_dir() and not p.is_symlink() and p != path)
    if others:
        other, away = others[int(rng.integers(len(others)))], path.with_name("away")
        path.rename(away)
        other.rename(path)
        away.rename(other)


FOLDER_DAMAGES: tuple[Damage, ...] = (remove_folder, swap_folder)


def _edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    data = path.read_bytes()
    path.write_bytes(change(data) if data else b"\x00")


def _flip(rng: np.random.Generator, data: bytes) -> bytes:
    place = int(rng.integers(8 * len(data)))
    return _xor(data, place // 8, 1 << place % 8)


def _xor(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
