"""Publishing, rolling back, reconciling and retiring releases."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from datetime import UTC, datetime, timedelta

import pytest
from index_workspace import Workspace, words

from embedlib.errors import CorruptArtifact, DiskFull, MismatchError, ReleaseError
from embedlib.index import catalog
from embedlib.index.release import current, publish, reconcile, releases, rollback
from embedlib.index.release_lock import ReleaseLock, lock_current
from embedlib.index.retention import protected, retire
from embedlib.store import file_lock


@pytest.fixture
def three(workspace: Workspace) -> Workspace:
    """A workspace with releases 1, 2, 3 of different corpora; 3 is live."""
    for seed in range(3):
        workspace.publish(workspace.parts(words(12, seed), bm25=False))
    return workspace


def test_a_published_release_names_every_part_by_content(workspace):
    parts = workspace.parts(words(12))
    release = workspace.publish(parts, figures={"nDCG@10": 0.5}, why="better", approval={"by": "ann"})
    stored = json.loads((workspace.root / "releases/current/release.json").read_text())
    assert stored["number"] == release.number == 1
    assert stored["parts"] == {
        name: {"kind": ref.kind, "fingerprint": ref.fingerprint, "digest": ref.digest}
        for name, ref in parts.items()
    }
    assert stored["figures"]["nDCG@10"] == 0.5
    assert stored["approval"] == {"by": "ann"}
    assert "reused" not in stored
    assert current(workspace.root) == release


def test_nothing_is_live_before_the_first_publish(workspace):
    assert current(workspace.root) is None
    assert releases(workspace.root) == []
    assert reconcile(workspace.root) == []


def test_the_same_content_is_not_published_again(workspace):
    parts = workspace.parts(words(12))
    first = workspace.publish(parts)
    again = workspace.publish(parts)
    assert again.reused
    assert again.number == first.number
    assert not first.reused
    assert len(catalog.history(workspace.root)) == 1


def test_the_workspace_can_be_moved(three, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(three.root, moved)
    release = current(moved)
    assert release is not None
    assert release.number == 3
    assert release.ref(moved, "index").file("index.faiss").is_file()


def test_rollback_goes_back_step_by_step_and_says_who_and_why(three):
    assert rollback(three.root, who="bob", why="bad answers").number == 2
    assert rollback(three.root).number == 1
    last = catalog.history(three.root)[-2]
    assert {k: last[k] for k in ("action", "from", "to", "who", "why")} == {
        "action": "rollback",
        "from": 3,
        "to": 2,
        "who": "bob",
        "why": "bad answers",
    }
    with pytest.raises(ReleaseError, match="no release to go back to"):
        rollback(three.root)
    assert rollback(three.root, 3).number == 3


def test_rollback_to_a_release_that_is_not_there_changes_nothing(three):
    with pytest.raises(ReleaseError, match="release 9"):
        rollback(three.root, 9)
    assert current(three.root).number == 3


def test_rollback_refuses_a_release_whose_index_is_damaged(three):
    index = catalog.read_release(three.root, 2).ref(three.root, "index").file("index.faiss")
    index.write_bytes(index.read_bytes()[:-5])
    with pytest.raises(CorruptArtifact, match=r"index\.faiss"):
        rollback(three.root)
    assert current(three.root).number == 3


def test_numbers_only_grow_even_after_rollback_and_removal(three):
    rollback(three.root, 1)
    shutil.rmtree(three.root / "releases" / "3")
    assert three.publish(three.parts(words(12, 7), bm25=False)).number == 4


def test_model_and_index_of_different_models_are_refused(workspace):
    first, second = workspace.parts(words(12)), workspace.parts(words(12), shift=3)
    with pytest.raises(MismatchError, match="another model"):
        workspace.publish({**first, "model": second["model"]})
    with pytest.raises(MismatchError, match="index artifact was made with another model"):
        workspace.publish({**first, "index": second["index"]} | {"model": first["model"]})
    assert current(workspace.root) is None


def test_an_index_of_another_corpus_is_refused(workspace):
    first, second = workspace.parts(words(12)), workspace.parts(words(12, seed=5))
    with pytest.raises(MismatchError, match="another corpus"):
        workspace.publish({**first, "index": second["index"]})


def test_artifacts_of_another_workspace_are_refused(workspace, tmp_path):
    parts = workspace.parts(words(12))
    with pytest.raises((ReleaseError, FileNotFoundError)):
        publish(tmp_path / "other", **parts)


def test_a_second_publisher_waits_or_is_refused(three):
    parts = three.parts(words(12, 8), bm25=False)
    done = threading.Event()

    def publish_waiting():
        three.publish(parts)
        done.set()

    with file_lock(three.root / "releases" / ".lock"):
        with pytest.raises(ReleaseError, match="another publisher"):
            three.publish(parts, wait=False)
        with pytest.raises(ReleaseError, match="another publisher"):
            rollback(three.root, wait=False)
        thread = threading.Thread(target=publish_waiting)
        thread.start()
        assert not done.wait(0.3)
    thread.join(20)
    assert done.is_set()
    assert current(three.root).number == 4


def test_reconcile_removes_what_was_never_live_and_leftovers(three):
    folder = three.root / "releases"
    shutil.copytree(folder / "3", folder / "4")
    shutil.copytree(folder / "3", folder / ".tmp-5")
    (folder / ".tmp-current-1").symlink_to("4")
    done = reconcile(three.root)
    assert len(done) == 3
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "1", "2", "3", "current", "history.jsonl"]
    assert reconcile(three.root) == []


def test_reconcile_records_a_swap_that_was_not_written_down(three):
    path = three.root / "releases" / "history.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])  # killed after the swap, line torn
    assert [e["to"] for e in catalog.history(three.root)] == [1, 2]
    reconcile(three.root)
    assert [e["to"] for e in catalog.history(three.root)] == [1, 2, 3]
    assert catalog.history(three.root)[-1]["action"] == "reconcile"
    assert catalog.numbers(three.root) == [1, 2, 3]


def test_retention_by_count_spares_the_live_one_and_its_predecessor(three):
    rollback(three.root, 1)
    three.publish(three.parts(words(12, 9), bm25=False))
    assert protected(three.root) == {4, 1}
    assert retire(three.root, keep=1) == [2, 3]
    assert catalog.numbers(three.root) == [1, 4]


def test_retention_by_age(three):
    later = datetime.now(UTC) + timedelta(days=8)
    assert retire(three.root, keep=10, max_age_days=30, at=later) == []
    assert retire(three.root, keep=10, max_age_days=7, at=later) == [1]


def test_retention_never_removes_what_a_reader_holds(three):
    reader = ReleaseLock(three.root, 1)
    assert retire(three.root, keep=1) == []
    reader.close()
    assert retire(three.root, keep=1) == [1]
    with pytest.raises(ReleaseError, match="release 1 is not there"):
        ReleaseLock(three.root, 1)


def test_a_reader_that_is_forgotten_holds_nothing(three):
    reader = ReleaseLock(three.root, 1)
    del reader
    assert retire(three.root, keep=1) == [1]


def test_holding_follows_the_live_release(three):
    assert lock_current(three.root).number == 3
    rollback(three.root)
    assert lock_current(three.root).number == 2


def test_a_damaged_release_record_is_named_and_does_not_hide_the_others(three, caplog):
    (three.root / "releases/1/release.json").write_text("{")
    assert [r.number for r in releases(three.root)] == [3, 2]
    assert "release 1 cannot be read" in caplog.text
    with pytest.raises(ReleaseError, match="release 1"):
        rollback(three.root, 1)


def test_a_release_of_another_schema_version_is_refused_by_name(three):
    path = three.root / "releases/3/release.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 99'))
    with pytest.raises(ReleaseError, match="schema version") as error:
        current(three.root)
    assert error.value.found == "99"


@pytest.mark.parametrize("spoil", ["record", "link"])
def test_publishing_mends_a_spoiled_live_release(three, spoil):
    if spoil == "record":
        (three.root / "releases/3/release.json").write_text("{")
    else:
        (three.root / "releases/current").unlink()
        (three.root / "releases/current").write_text("3")
    assert three.publish(three.parts(words(12, 8), bm25=False)).number == 4
    assert current(three.root).number == 4


def test_a_full_disk_while_the_release_is_written_changes_nothing(three, monkeypatch):
    parts = three.parts(words(12, 8), bm25=False)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskFull, match="disk is full"):
        patch.setattr("os.fsync", full)
        three.publish(parts)
    assert current(three.root).number == 3
    reconcile(three.root)
    assert catalog.numbers(three.root) == [1, 2, 3]
    assert three.publish(parts).number == 4


@pytest.mark.parametrize("kind", ["file", "word"])
def test_a_current_that_names_no_release_is_a_clear_error(three, kind):
    link = three.root / "releases" / "current"
    link.unlink()
    if kind == "file":
        link.write_text("3")
    else:
        link.symlink_to("three")
    with pytest.raises(ReleaseError, match=r"releases/current"):
        current(three.root)
