"""Publishing, rolling back, reconciling and retiring releases."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from index_workspace import Workspace, load, words

from embedlib.disk import file_lock
from embedlib.errors import (
    CorruptArtifact,
    DiskFull,
    MismatchError,
    ReleaseError,
    UserError,
    VerificationError,
)
from embedlib.index import catalog
from embedlib.index.catalog import current, releases
from embedlib.index.history import history
from embedlib.index.reconcile import reconcile
from embedlib.index.release import publish, rollback
from embedlib.index.release_lock import ReleaseLock, lock_current
from embedlib.index.retention import protected, remove_unused, retire
from embedlib.index.verify import Checks
from embedlib.retrieval.plan import BM25


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
    assert len(history(workspace.root)) == 1


def test_what_went_live_meanwhile_is_not_replaced_unseen(three, workspace):
    began = current(three.root)
    seen = {name: part.digest for name, part in began.parts.items() if name in ("corpus", "model")}
    rollback(three.root, 1)
    parts = workspace.parts(words(30, 7))
    with pytest.raises(ReleaseError, match="another corpus went live while this run worked"):
        workspace.publish(parts, replaces=seen)
    assert current(three.root).number == 1
    rollback(three.root, 3)
    assert workspace.publish(parts, replaces=seen).number == 4
    assert workspace.publish(parts, replaces=seen).reused


def test_canaries_are_asked_as_the_release_is_searched(workspace):
    """Letters in another order are the same to the toy model, and another word to BM25."""
    texts = {f"a{i:02d}": "listen" for i in range(15)} | {"z": "silent"} | words(20)
    parts = workspace.parts(texts)
    checks = Checks(canaries=(("silent", "z"),), self_checks=0, k=3, encoder=load(parts["model"].path))
    with pytest.raises(VerificationError, match="'silent' does not find 'z'"):
        workspace.publish(parts, checks=checks)
    release = workspace.publish(parts, checks=checks, search=BM25)
    assert (release.number, release.figures["verification"]["canaries"]) == (1, 1)
    other = replace(checks, canaries=(("nothing like it", "z"),))
    with pytest.raises(VerificationError, match="does not find 'z'"):
        workspace.publish(workspace.parts(texts | {"y": "another"}), checks=other, search=BM25)
    assert catalog.numbers(workspace.root) == [1]
    assert current(workspace.root).number == 1


def test_the_workspace_can_be_moved(three, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(three.root, moved)
    release = current(moved)
    assert release is not None
    assert release.number == 3
    assert release.ref(moved, "index").file("index.faiss").is_file()


def test_rollback_goes_back_step_by_step_and_says_who_and_why(three, monkeypatch):
    monkeypatch.setattr("embedlib.index.release.user_name", lambda: "bob")
    assert rollback(three.root, why="bad answers").number == 2
    assert rollback(three.root).number == 1
    last = history(three.root)[-2]
    assert {k: last[k] for k in ("action", "from", "to", "who", "why")} == {
        "action": "rollback",
        "from": 3,
        "to": 2,
        "who": "bob",
        "why": "bad answers",
    }
    with pytest.raises(UserError, match="no release to go back to"):
        rollback(three.root)
    assert rollback(three.root, 3).number == 3


def test_rollback_to_a_release_that_is_not_there_changes_nothing(three):
    with pytest.raises(UserError, match="no release 9"):
        rollback(three.root, 9)
    assert current(three.root).number == 3


def test_rollback_refuses_a_release_whose_index_is_damaged(three):
    index = catalog.read_release(three.root, 2).ref(three.root, "index").file("index.faiss")
    index.write_bytes(index.read_bytes()[:-5])
    with pytest.raises(CorruptArtifact, match=r"index\.faiss"):
        rollback(three.root)
    assert current(three.root).number == 3


@pytest.mark.parametrize("part", ["corpus", "model", "vectors", "index"])
@pytest.mark.parametrize("damage", ["gone", "flipped", "record"])
def test_rollback_to_a_release_that_is_not_whole_is_refused_with_the_remedy(three, part, damage):
    ref = catalog.read_release(three.root, 2).ref(three.root, part)
    name = max(ref.manifest.files, key=lambda n: ref.manifest.files[n].bytes)
    target = ref.file("artifact.json" if damage == "record" else name)
    if damage == "gone":
        shutil.rmtree(ref.path)
    else:
        data = bytearray(target.read_bytes())
        data[len(data) // 2] ^= 0x80
        target.write_bytes(data)
    # words(12, seed) share one model: what is damaged in release 2's is damaged in release 3's too
    with pytest.raises(
        (ReleaseError, CorruptArtifact), match=rf"(?s)the {part} artifact of release 2 is .*remedy"
    ):
        rollback(three.root, 2)
    assert current(three.root).number == 3


def test_what_is_published_is_read_in_full(three):
    parts = three.parts(words(12, 7), bm25=False)
    path = parts["vectors"].file("shards/00000.npy")
    array = np.load(path)
    array[2] = array[1]
    np.save(path, array)
    with pytest.raises(CorruptArtifact, match=r"00000\.npy"):
        three.publish(parts, checks=Checks(self_checks=0))
    assert current(three.root).number == 3


@pytest.mark.parametrize("spoil", [b"", None, b"\xff\xfe\x00garbage\n", b"[]\n{}\n1e999\n"])
def test_losing_the_audit_trail_loses_no_release(three, spoil, caplog):
    path = three.root / "releases" / "history.jsonl"
    path.unlink() if spoil is None else path.write_bytes(spoil)
    assert rollback(three.root).number == 2
    assert catalog.numbers(three.root) == [1, 2, 3]
    assert three.publish(three.parts(words(12, 7), bm25=False)).number == 4
    assert catalog.numbers(three.root) == [1, 2, 3, 4]
    assert history(three.root)[-1]["to"] == 4


def test_a_garbled_line_of_the_audit_trail_is_skipped_and_named(three, caplog):
    path = three.root / "releases" / "history.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"\x80" + lines[1][1:]
    path.write_bytes(b"\n".join(lines))
    assert [e["to"] for e in history(three.root)] == [1, 3]
    assert "line 2" in caplog.text
    assert rollback(three.root).number == 2


@pytest.mark.parametrize("spoil", ["gone", "file", "folder", "garbage"])
def test_a_lost_current_is_restored_from_the_audit_trail(three, spoil):
    rollback(three.root, 2)
    link = three.root / "releases" / "current"
    link.unlink()
    if spoil == "file":
        link.write_text("3")
    elif spoil == "folder":
        link.mkdir()
        (link / "precious").write_text("")
    elif spoil == "garbage":
        link.symlink_to("elsewhere")
    with pytest.raises(ReleaseError, match="releases/current"):
        current(three.root)
    assert reconcile(three.root) == ["restored releases/current to release 2"]
    assert current(three.root).number == 2
    assert len(list(three.root.glob("releases/spoiled-current-*/precious"))) == (spoil == "folder")


def test_without_current_and_audit_trail_the_owner_chooses(three):
    for name in ("current", "history.jsonl"):
        (three.root / "releases" / name).unlink()
    assert reconcile(three.root) == []
    with pytest.raises(ReleaseError, match=r"(?s)releases 1, 2, 3.*rollback --to 3"):
        current(three.root)
    assert retire(three.root, keep=1) == []
    assert rollback(three.root, 3).number == 3


def test_nothing_is_cleaned_away_while_a_release_cannot_be_read(three):
    later = datetime.now(UTC) + timedelta(days=99)
    path = three.root / "releases" / "2" / "release.json"
    whole = path.read_bytes()
    path.write_bytes(b"\x80" + whole)
    retire(three.root, keep=1)
    assert remove_unused(three.store, older_than_days=1, at=later) == []
    path.write_bytes(whole)
    assert rollback(three.root, 2).number == 2


def test_a_lost_lock_file_of_a_release_is_made_again(three):
    lock = three.root / "releases" / "3" / ".hold"
    lock.unlink()
    ReleaseLock(three.root, 3).close()
    assert lock.is_file()


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
        thread = threading.Thread(target=publish_waiting)
        thread.start()
        assert not done.wait(0.3)
    thread.join(20)
    assert done.is_set()
    assert current(three.root).number == 4


def test_reconcile_removes_what_was_never_live_and_leftovers(three):
    folder = three.root / "releases"
    shutil.copytree(folder / "3", folder / "4")
    (folder / "4" / catalog.PENDING).touch()
    shutil.copytree(folder / "3", folder / ".tmp-5")
    (folder / ".tmp-current-1").symlink_to("4")
    done = reconcile(three.root)
    assert len(done) == 3
    kept = [".checksums.json", ".lock", "1", "2", "3", "current", "history.jsonl"]
    assert sorted(p.name for p in folder.iterdir()) == kept
    assert reconcile(three.root) == []


def test_reconcile_records_a_swap_that_was_not_written_down(three):
    path = three.root / "releases" / "history.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])  # killed after the swap, line torn
    assert [e["to"] for e in history(three.root)] == [1, 2]
    reconcile(three.root)
    assert [e["to"] for e in history(three.root)] == [1, 2, 3]
    assert history(three.root)[-1]["action"] == "reconcile"
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
