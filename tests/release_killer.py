"""Kills a publish, rollback or retirement before each of its file operations and looks at what is left.

Run as ``python release_killer.py FOLDER ACTION``; prints one JSON line a kill. A process of its own,
because it forks: the children inherit prepared artifacts and no threads.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import faiss
import index_workspace
from index_workspace import Workspace, load, words

import embedlib.models.local
from embedlib.index import catalog
from embedlib.index.history import history
from embedlib.index.reconcile import reconcile
from embedlib.index.release import Terms, publish, rollback
from embedlib.index.retention import retire
from embedlib.index.search import Searcher
from embedlib.index.verify import Checks
from embedlib.stages import index as index_stage

FILE_OPERATIONS = {"open", "os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir"}
TEXTS = [words(8, seed) for seed in range(3)]


class Killer:
    """Counts this process's operations on ``releases/`` and dies before number ``at``."""

    def __init__(self, folder: Path, at: int | None) -> None:
        self.folder, self.at, self.seen = str(folder), at, []
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple) -> None:
        if event not in FILE_OPERATIONS or not any(
            self.folder in os.fsdecode(a) for a in args if _is_path(a)
        ):
            return
        self.seen.append(event)
        if len(self.seen) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _is_path(value: object) -> bool:
    return isinstance(value, str | bytes | os.PathLike)


def in_child(work) -> int:
    """Run ``work`` in a forked child; returns its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            sys.stderr.flush()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def act(root: Path, action: str, parts: dict) -> None:
    if action == "publish":
        terms = Terms(checks=Checks(self_checks=2, encoder=load(parts["model"].path)))
        publish(root, **parts, terms=terms)
    elif action == "rollback":
        rollback(root)
    else:
        retire(root, keep=1)


def answer(root: Path) -> dict:
    """Which release answers, and whether every hit is from its own corpus."""
    hits = Searcher(root, load=load).search("word", k=100, mode="hybrid")
    number = hits[0].release
    return {"live": number, "whole": {h.snippet for h in hits} == set(TEXTS[number - 1].values())}


def main(folder: str, action: str) -> None:
    faiss.omp_set_num_threads(1)
    index_stage.load_encoder = embedlib.models.local.load_encoder = index_workspace.load
    workspace = Workspace(Path(folder) / "ws")
    root, releases = workspace.root, workspace.root / "releases"
    parts = [workspace.parts(texts) for texts in TEXTS]
    for before in parts[: 2 if action == "publish" else 3]:
        workspace.publish(before)
    saved = Path(folder) / "saved"
    shutil.copytree(releases, saved, symlinks=True)

    def count() -> None:
        killer = Killer(releases, None)
        act(root, action, parts[2])
        (Path(folder) / "operations.json").write_text(json.dumps(killer.seen))

    if in_child(count) != 0:
        sys.exit("the undisturbed run failed")
    operations = json.loads((Path(folder) / "operations.json").read_text())
    for at, operation in enumerate(operations, start=1):
        shutil.rmtree(releases)
        shutil.copytree(saved, releases, symlinks=True)

        def die(at: int = at) -> None:
            Killer(releases, at)
            act(root, action, parts[2])

        status = in_child(die)
        found = answer(root)
        done = reconcile(root)
        after = answer(root)
        act(root, action, parts[2])
        line = {
            "at": at,
            "operation": operation,
            "killed": os.WIFSIGNALED(status),
            "found": found,
            "reconciled": done,
            "after": after,
            "recorded": [e["to"] for e in history(root)],
            "left": sorted(p.name for p in releases.glob(".tmp-*")),
            "again": answer(root),
            "numbers": catalog.numbers(root),
        }
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
