"""Killed with -9 anywhere, a push leaves the old collection or the new one, whole; the same push goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import store_pusher
from index_workspace import words

from embedlib.index.catalog import current
from embedlib.stores.connect import CLIENTS, connect
from embedlib.stores.rows import ReleaseRows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: The store's method, which call of it, and after how many milliseconds; -1: after the call.
MOMENTS = [
    ("create", 1, 0), ("create", 1, -1),
    ("upsert", 1, 0), ("upsert", 2, -1), ("upsert", 3, 2),
    ("finish", 1, -1),
    ("describe", 1, -1),
    ("cut_over", 1, 0), ("cut_over", 1, 0.2), ("cut_over", 1, 1), ("cut_over", 1, 3), ("cut_over", 1, -1),
    ("drop", 1, 0),
]  # fmt: skip


def pushed(root: Path, kind: str, where: str, shift: int, method: str, call: int, delay: float) -> int:
    """Return code of the pushing process."""
    given = [str(root), kind, where, str(shift), method, str(call), str(delay)]
    return subprocess.run(
        [sys.executable, store_pusher.__file__, *given], timeout=120, check=False
    ).returncode


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("refresh", [False, True], ids=["another model", "refresh"])
def test_both_answers_are_whole_and_the_same_push_goes_on(workspace, address_of, kind, refresh):
    where = address_of(kind)
    texts = words(100)
    shift = 0
    workspace.publish(workspace.parts(texts))
    assert pushed(workspace.root, kind, where, shift, "none", 0, 0) == 0
    before, killed = answer(kind, where), 0
    for number, moment in enumerate(MOMENTS):
        shift = shift if refresh else number + 1
        texts = {
            **texts,
            **{f"doc{i:04d}": text for i, text in enumerate(words(70, seed=number + 9).values())},
        }
        workspace.publish(workspace.parts(texts, shift=shift))
        new = expected(workspace.root)
        code = pushed(workspace.root, kind, where, shift, *moment)
        killed += code == -signal.SIGKILL
        assert answer(kind, where) in (before, new), moment
        assert pushed(workspace.root, kind, where, shift, "none", 0, 0) == 0
        before = answer(kind, where)
        assert before == new, moment
    assert killed >= (9 if refresh else 12)  # a refresh neither creates nor drops when it reuses a collection


def expected(root: Path) -> tuple[int, dict[str, str]]:
    release = current(root)
    keys, hashes = ReleaseRows(root, release).digests
    return release.number, {_hex(key): _hex(value) for key, value in zip(keys, hashes, strict=True)}


def answer(kind: str, where: str) -> tuple[int, dict[str, str]]:
    """Which release the store answers with, and the rows that it has of it."""
    store = connect(kind, where, "docs")
    try:
        name = store.live()
        info = store.collections()[name]
        assert info.whole
        rows = {key: value for page in store.held(name) for key, value in zip(*page, strict=True)}
        return info.release, rows
    finally:
        store.close()


def _hex(digest: bytes) -> str:
    return digest.ljust(16, b"\0").hex()
