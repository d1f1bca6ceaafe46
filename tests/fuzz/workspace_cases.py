"""A small workspace, one thing in it damaged, one command run on it.

What must hold: no traceback; the answers of the release that answers, or an error; ``verify`` sees damage
to what it guards; and with the damage undone the workspace serves as before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from fuzz.calls import Outcome, command, library
from fuzz.damage import DAMAGES, FOLDER_DAMAGES, Damage
from published import (
    WORDS,
    publish_base,
    refresh_release,
    save_bag_model,
    save_tiny_model,
    small_config,
    word_tokenizer,
    write_beir,
)

from embedlib.index.catalog import PARTS
from embedlib.monitoring.report import check_live
from embedlib.monitoring.triggers import MonitorThresholds

NOW = datetime(2030, 1, 1, tzinfo=UTC)
QUERY = "river stone window garden"
SEARCHES = (
    ("search", QUERY, "--json", "-k", "5"),
    ("search", QUERY, "--json", "-k", "5", "--mode", "bm25"),
    ("search", QUERY, "--json", "-k", "5", "--mode", "dense"),
    ("search", QUERY, "--json", "-k", "5", "--where", "source=corpus.jsonl"),
)
#: What is only read, and how often it is drawn.
READING = (
    *SEARCHES,
    ("releases", "--json"),
    ("verify", "--json"),
    ("export",),
    ("monitor",),
    ("doctor", "--json"),
)
CHANGING = (("rollback",), ("rollback", "--to", "1"), ("refresh",), ("run",))


class Failure(NamedTuple):
    """What did not hold, and how to see it again."""

    what: str
    damaged: str
    command: str
    detail: str


class Case(NamedTuple):
    """What was damaged how, what was run, and the exit code."""

    damage: str
    path: str
    command: str
    code: int | None
    failures: list[Failure]


class SmallWorkspace:
    """Two releases of a tiny model, their right answers, and a copy to be spoiled.

    Args:
        folder: An empty folder to work in.
    """

    def __init__(self, folder: Path) -> None:
        self.pristine, self.root = folder / "pristine", folder / "ws"
        self.model = save_bag_model(folder / "model", save_tiny_model(folder / "tiny", word_tokenizer(WORDS)))
        self.data = [write_beir(folder / f"data{n}", documents=n) for n in (40, 44)]
        self.exports = folder / "exports"
        self.answers: dict[tuple[int, tuple[str, ...]], Any] = {}
        self.vectors: dict[int, np.ndarray] = {}
        for number, data in enumerate(self.data, start=1):
            publish_base(self._config(data))
            self._learn(number)
        os.replace(self.root, self.pristine)
        self.reset()

    def reset(self) -> None:
        """Begin again with whole files."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.pristine, self.root, symlinks=True)

    def case(self, rng: np.random.Generator) -> Case:
        """Damage one thing, run one command, look, undo the damage, look again."""
        names = CHANGING if rng.random() < 0.25 else READING
        arguments = names[int(rng.integers(len(names)))]
        return self.attempt(rng, *self._drawn(rng), arguments)

    def attempt(
        self, rng: np.random.Generator, path: Path, damage: Damage, arguments: tuple[str, ...]
    ) -> Case:
        """One case that was drawn."""
        relative = str(path.relative_to(self.root))
        damage(rng, path)
        spoiled = _look(path)
        outcome = self._run(arguments)
        found = list(self._wrong(arguments, outcome, self._is_guarded(path, relative)))
        if _look(path) == spoiled:
            self._undo(path, relative, whole=damage in FOLDER_DAMAGES)
        found = found or [f"afterwards {what}" for what in self._not_serving()]
        label, detail = " ".join(arguments), f"{outcome.crash or outcome.err}\n{outcome.out[:500]}"
        failures = [Failure(what, f"{damage.__name__} {relative}", label, detail) for what in found]
        if arguments in CHANGING or failures or arguments[0] == "monitor" or damage in FOLDER_DAMAGES:
            self.reset()
        return Case(damage.__name__, relative, arguments[0], outcome.code, failures)

    def _not_serving(self) -> Iterator[str]:
        outcome = self._run(SEARCHES[0])
        yield from self._wrong(SEARCHES[0], outcome, False)
        if outcome.code:
            yield f"it does not serve: {outcome.err}"

    def _drawn(self, rng: np.random.Generator) -> tuple[Path, Damage]:
        if rng.random() < 0.1:
            folders = sorted(p for p in self.root.glob("*/*/") if not p.is_symlink() and p.is_dir())
            folders += sorted(p for p in self.root.glob("artifacts/*/*/") if not p.name.startswith("."))
            return folders[int(rng.integers(len(folders)))], FOLDER_DAMAGES[
                int(rng.integers(len(FOLDER_DAMAGES)))
            ]
        files = sorted(p for p in self.root.rglob("*") if p.is_file() and "current/" not in str(p))
        small = [p for p in files if p.suffix in (".json", ".jsonl") or "releases" in p.parts]
        pool = small if rng.random() < 0.5 else files
        path = pool[int(rng.integers(len(pool)))]
        if path.is_symlink():  # ``current``
            kinds = [
                d for d in DAMAGES if d.__name__ in ("remove", "folder_instead", "dead_link", "loop_link")
            ]
            return path, kinds[int(rng.integers(len(kinds)))]
        return path, DAMAGES[int(rng.integers(len(DAMAGES)))]

    def _run(self, arguments: tuple[str, ...]) -> Outcome:
        config = self._config(self.data[1])
        match arguments[0]:
            case "monitor":
                return library(lambda: check_live(self.root, MonitorThresholds(), now=NOW))
            case "refresh":
                return library(lambda: refresh_release(config).number)
            case "run":
                return library(lambda: publish_base(config).number)
            case "export":
                shutil.rmtree(self.exports, ignore_errors=True)
                return command("export", str(self.exports), "--workspace", str(self.root))
            case _:
                return command(*arguments, "--workspace", str(self.root))

    def _wrong(self, arguments: tuple[str, ...], outcome: Outcome, guarded: bool) -> Iterator[str]:
        """What does not hold of a command's outcome."""
        if outcome.code is None:
            yield "a traceback"
        elif outcome.code not in (0, 1, 2):
            yield f"exit code {outcome.code}"
        elif outcome.code and not (outcome.err.strip() or outcome.out.strip()):
            yield "an exit code without a word"
        elif outcome.code == 0:
            yield from self._wrong_answer(arguments, outcome, guarded)

    def _wrong_answer(self, arguments: tuple[str, ...], outcome: Outcome, guarded: bool) -> Iterator[str]:
        if arguments[0] == "verify" and guarded:
            yield "verify did not see it"
        elif arguments[0] == "export":
            release = json.loads((self.exports / "export.json").read_text())["release"]
            if not np.array_equal(_exported(self.exports), self.vectors[release]):
                yield "wrong vectors were exported"
        elif arguments[0] == "search":
            hits = json.loads(outcome.out)
            release = hits[0]["release"] if hits else 0
            expected = self.answers.get((min(release, 2), arguments))
            if _comparable(hits) != expected:
                yield "a wrong answer"
        elif arguments[0] in ("rollback", "refresh", "run"):
            after = self._run(SEARCHES[0])
            if after.code != 0:
                yield f"{arguments[0]} succeeded and nothing is served: {after.crash or after.err}"
            else:
                yield from self._wrong_answer(SEARCHES[0], after, False)

    def _is_guarded(self, path: Path, relative: str) -> bool:
        """Whether ``verify`` has to see that this is not what it was."""
        if not relative.startswith("artifacts/") and path.name not in (
            "release.json",
            "config.json",
            "current",
        ):
            return False
        if (
            not path.exists()
            and relative.split("/")[1] not in (*PARTS, "decision")
            and "releases" not in relative
        ):
            return False  # no release names it, so nobody can miss it
        original = self.pristine / relative
        if original.is_dir() and not original.is_symlink():
            return not _same_tree(original, path)
        if path.name == "config.json" and not path.exists() and relative.startswith("releases/"):
            return False  # a release may have been made without one
        return _look(path) != _look(original) and not _same_json(path, original)

    def _undo(self, path: Path, relative: str, *, whole: bool) -> None:
        if whole:
            self.reset()
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            shutil.copy2(self.pristine / relative, path, follow_symlinks=False)

    def _config(self, data: Path) -> Any:
        return small_config(
            self.root, data, self.model, evaluate={"guards": []}, ingest={"tokenizer": str(self.model)}
        )

    def _learn(self, number: int) -> None:
        for arguments in SEARCHES:
            outcome = self._run(arguments)
            assert outcome.code == 0, outcome
            self.answers[number, arguments] = _comparable(json.loads(outcome.out))
        assert self._run(("export",)).code == 0
        self.vectors[number] = _exported(self.exports)


def _comparable(hits: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Hits without what a later release of the same documents may change."""
    return [(h["doc_id"], h["title"], h["snippet"], round(h["score"], 3), h["mode"]) for h in hits]


def _exported(folder: Path) -> np.ndarray:
    return np.stack(pq.read_table(sorted(folder.glob("*.parquet")))["vector"].to_pylist())


def _look(path: Path) -> object:
    """What lies at a path, for a comparison."""
    if path.is_symlink():
        return str(path.readlink())
    if path.is_dir():
        return sorted(str(p.relative_to(path)) for p in path.rglob("*"))
    return path.read_bytes() if path.exists() else None


def _same_tree(a: Path, b: Path) -> bool:
    return _look(a) == _look(b) and all(_look(p) == _look(b / p.relative_to(a)) for p in a.rglob("*"))


def _same_json(a: Path, b: Path) -> bool:
    try:
        return bool(a.suffix == ".json" and json.loads(a.read_text()) == json.loads(b.read_text()))
    except (OSError, ValueError, RecursionError):
        return False
