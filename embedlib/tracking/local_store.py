"""The workspace's own MLflow database: where it lies, and its files' addresses after a move."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from embedlib.disk import write_atomic
from embedlib.errors import UserError

logger = logging.getLogger(__name__)

_UI = Path("tracking") / "ui-address"
_CHAMPION = Path("tracking") / "champion"
#: Lets MLflow's pages open as those of trainings; without it they are about prompts and traces.
TRAINING_VIEW = "workflowType=machine_learning"
#: Where MLflow's own database keeps addresses of files.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def default_uri(root: Path) -> str:
    """The workspace's own SQLite store, independent of the working directory.

    Raises:
        UserError: The path cannot stand in such an address: the database would be made elsewhere.
    """
    place = root.resolve()
    if "?" in str(place):
        raise UserError(
            "MLflow cannot keep its database in a folder with a question mark in its path",
            where=str(place),
            remedy="choose another workspace, or give tracking.uri",
        )
    return f"sqlite:///{place / 'mlflow.db'}"


def note_ui(root: Path, address: str) -> None:
    """Note where the workspace's runs are shown, for the links to them."""
    (root / _UI).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(root / _UI, address)


def ui_address(root: Path) -> str:
    """Where the workspace's runs were shown last; empty where no UI was ever started."""
    path = root / _UI
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def note_champion(root: Path, digest: str) -> None:
    """Note which model is live, by its digest: what MLflow is told late must not take its alias."""
    (root / _CHAMPION).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(root / _CHAMPION, digest)


def is_champion(root: Path, digest: str) -> bool:
    """Whether no other model went live since."""
    path = root / _CHAMPION
    return not path.is_file() or path.read_text(encoding="utf-8") == digest


def follow_moved_workspace(root: Path) -> None:
    """Let the workspace's own MLflow database name its files where the workspace is now.

    MLflow keeps absolute addresses of files; a workspace that was moved or restored elsewhere would
    show runs whose files and models cannot be found.
    """
    database, here = root / "mlflow.db", (root.resolve() / "mlartifacts").as_uri()
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=30)) as db, db:
        rows = db.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        homes = {r[0] for r in rows if r[0] and r[0].endswith("/mlartifacts")}
        for before in homes - {here}:
            logger.info("MLflow's files are in %s now, no longer in %s", here, before)
            for table, column in PLACES:
                db.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 - names from PLACES
                    f" WHERE substr({column}, 1, ?) = ?",
                    (here, len(before) + 1, len(before), before),
                )
