"""The store builds once, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embedlib.errors import CorruptArtifact, DiskFull, StoreError
from embedlib.store import MANIFEST, Recipe, Store, Work, file_lock, write_atomic


def recipe(**changes: object) -> Recipe:
    return Recipe(**{"stage": "make", "kind": "thing", "code": "c1", "config": {"n": 1}, **changes})


def writer(text: str = "hello"):
    def make(work: Work) -> dict[str, int]:
        (work.out / "sub").mkdir()
        (work.out / "sub" / "data.txt").write_text(text)
        return {"rows": len(text)}

    return make


def refuse(work: Work) -> dict[str, int]:
    raise AssertionError("built again")


def test_second_build_is_reused(store: Store) -> None:
    first = store.build(recipe(), writer())
    second = store.build(recipe(), refuse)
    assert (first.reused, second.reused) == (False, True)
    assert second.ref.file("sub/data.txt").read_text() == "hello"
    assert second.ref.manifest.summary == {"rows": 5}


@pytest.mark.parametrize("change", [{"stage": "other"}, {"code": "c2"}, {"config": {"n": 2}}])
def test_every_part_of_the_recipe_counts(store: Store, change: dict[str, object]) -> None:
    first = store.build(recipe(), writer())
    assert store.build(recipe(**change), writer()).ref.fingerprint != first.ref.fingerprint


def test_inputs_count_by_content(store: Store) -> None:
    same = [store.build(recipe(config={"n": n}), writer("same")).ref for n in (1, 2)]
    other = store.build(recipe(config={"n": 3}), writer("other")).ref
    prints = [recipe(stage="next", inputs={"x": ref}).fingerprint for ref in (*same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_failure_leaves_nothing_but_scratch(store: Store) -> None:
    def fail(work: Work) -> dict[str, int]:
        (work.out / "half").write_text("x")
        (work.scratch / "kept").write_text("y")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        store.build(recipe(), fail)
    assert list(store.artifacts()) == []
    assert not list(store.artifacts_dir.glob("*/*"))

    def resume(work: Work) -> dict[str, int]:
        assert (work.scratch / "kept").read_text() == "y"
        return {}

    ref = store.build(recipe(), resume).ref
    assert not (store.scratch_dir / ref.fingerprint).exists()


def test_kill_in_the_middle_leaves_no_artifact_and_is_swept(store: Store, tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from embedlib.store import Recipe, Store
def make(work):
    (work.out / "half").write_text("x" * 1000)
    Path({str(tmp_path / "ready")!r}).write_text("")
    time.sleep(60)
Store({str(store.root)!r}).build(Recipe("make", "thing", "c1", {{"n": 1}}), make)
"""
    child = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "ready").exists():
        assert child.poll() is None
        time.sleep(0.02)
    assert store.sweep() == [], "the writer is alive"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(store.artifacts()) == []
    assert len(store.sweep()) == 1
    assert not store.build(recipe(), writer()).reused


def test_two_builders_build_once(store: Store) -> None:
    calls: list[int] = []

    def slow(work: Work) -> dict[str, int]:
        calls.append(1)
        time.sleep(0.2)
        return {}

    results = []
    threads = [threading.Thread(target=lambda: results.append(store.build(recipe(), slow))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert sorted(r.reused for r in results) == [False, True, True, True]


def test_truncated_artifact_is_set_aside_and_built_anew(store: Store) -> None:
    ref = store.build(recipe(), writer()).ref
    ref.file("sub/data.txt").write_text("hell")
    assert not store.build(recipe(), writer()).reused
    store.verify(ref)


def test_verify_names_the_changed_file(store: Store) -> None:
    ref = store.build(recipe(), writer()).ref
    ref.file("sub/data.txt").write_text("jello")
    with pytest.raises(CorruptArtifact, match=r"data\.txt"):
        store.verify(ref)


def test_another_schema_version_is_refused_by_name(store: Store) -> None:
    ref = store.build(recipe(), writer()).ref
    raw = json.loads(ref.file(MANIFEST).read_text())
    ref.file(MANIFEST).write_text(json.dumps(raw | {"schema_version": 99}))
    with pytest.raises(CorruptArtifact, match="schema version"):
        _ = ref.manifest


def test_full_disk_is_one_clear_error(store: Store) -> None:
    def full(work: Work) -> dict[str, int]:
        (work.out / "half").write_text("x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskFull, match="free space"):
        store.build(recipe(), full)
    assert not list(store.artifacts_dir.glob("*/*"))


def test_missing_artifact_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="no thing artifact abc"):
        store.get("thing", "abc")


def test_lock_is_exclusive_and_released(tmp_path: Path) -> None:
    with file_lock(tmp_path / "l") as first, file_lock(tmp_path / "l", wait=False) as second:
        assert (first, second) == (True, False)
    with file_lock(tmp_path / "l", wait=False) as third:
        assert third


def test_write_atomic_replaces_whole(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", "one")
    write_atomic(tmp_path / "f", b"two")
    assert (tmp_path / "f").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
