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

from embedlib.artifact import MANIFEST
from embedlib.disk import file_lock, write_atomic
from embedlib.errors import CorruptArtifact, DiskFull, NotWritable, StoreError, UserError
from embedlib.store import Recipe, Store, Work


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


def test_a_mistake_of_the_user_leaves_no_scratch_either(store: Store) -> None:
    def mistaken(work: Work) -> dict[str, int]:
        (work.scratch / "half").write_text("y" * 1000)
        raise UserError("mend the source")

    with pytest.raises(UserError):
        store.build(recipe(), mistaken)
    assert list(store.scratch_dir.iterdir()) == []


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
    ref.require_intact()


def test_an_artifact_changed_at_the_same_size_is_built_anew_and_kept_aside(store: Store) -> None:
    ref = store.build(recipe(), writer()).ref
    ref.file("sub/data.txt").write_text("jello")
    assert store.find(ref.kind, ref.fingerprint) is None
    with pytest.raises(CorruptArtifact, match=r"data\.txt"):
        store.get(ref.kind, ref.fingerprint)
    assert not store.build(recipe(), writer()).reused
    assert ref.file("sub/data.txt").read_text() == "hello"
    (aside,) = ref.path.parent.glob(".damaged-*")
    assert (aside / "sub" / "data.txt").read_text() == "jello"


def test_a_damaged_artifact_stays_in_its_place_until_it_is_built_anew(store: Store) -> None:
    ref = store.build(recipe(), writer()).ref
    ref.file("sub/data.txt").write_text("jello")
    with pytest.raises(AssertionError):
        store.build(recipe(), refuse)
    ref.file("sub/data.txt").write_text("hello")
    assert store.build(recipe(), refuse).reused, "mended by hand, it serves again"


@pytest.mark.parametrize("flip", [lambda b: b | 0x80, lambda b: b ^ 1, lambda b: 0])
def test_a_bit_flipped_anywhere_in_the_record_is_a_typed_error_and_built_anew(store: Store, flip) -> None:
    ref = store.build(recipe(), writer()).ref
    whole = ref.file(MANIFEST).read_bytes()
    for place in range(0, len(whole), 7):
        spoiled = bytearray(whole)
        spoiled[place] = flip(spoiled[place])
        ref.file(MANIFEST).write_bytes(spoiled)
        try:
            manifest = ref.manifest
        except CorruptArtifact:
            continue
        assert spoiled == whole or manifest.files, "only white space may change unseen"
    ref.file(MANIFEST).write_bytes(b"\x80" + whole)
    assert list(store.artifacts()) == []
    assert not store.build(recipe(), writer()).reused
    assert list(store.artifacts()) == [ref]


def test_swapped_folders_are_seen(store: Store) -> None:
    ours, theirs = (store.build(recipe(config={"n": n}), writer(f"text {n}")).ref for n in (1, 2))
    ours.path.rename(store.root / "away")
    theirs.path.rename(ours.path)
    with pytest.raises(CorruptArtifact, match="another artifact's folder"):
        ours.require_intact()
    assert store.find(ours.kind, ours.fingerprint) is None


def test_a_workspace_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ws").write_text("")
    with pytest.raises(UserError, match="the workspace is a file"):
        Store(tmp_path / "ws")
    with pytest.raises(NotWritable, match=r"not a directory(?s:.*)name a folder"):
        Store(tmp_path / "ws" / "below")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EROFS, "mount the file system writable"),
        (errno.EACCES, "right to write"),
        (errno.EIO, "check it"),
        (errno.EDQUOT, "free space"),
    ],
)
def test_what_a_disk_refuses_is_one_sentence_with_the_place(store: Store, number: int, expected: str) -> None:
    def refused(work: Work) -> dict[str, int]:
        raise OSError(number, os.strerror(number), str(work.out / "f"))

    with pytest.raises((DiskFull, NotWritable), match=expected) as caught:
        store.build(recipe(), refused)
    assert str(store.root) in caught.value.where
    assert not list(store.artifacts_dir.glob("*/*"))


def test_a_disk_that_is_full_while_a_model_is_saved_is_called_so(store: Store) -> None:
    from safetensors import SafetensorError

    def full(work: Work) -> dict[str, int]:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(DiskFull, match="free space"):
        store.build(recipe(), full)


def test_verify_names_the_changed_file(store: Store) -> None:
    ref = store.build(recipe(), writer()).ref
    ref.file("sub/data.txt").write_text("jello")
    with pytest.raises(CorruptArtifact, match=r"data\.txt"):
        ref.require_intact()


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
