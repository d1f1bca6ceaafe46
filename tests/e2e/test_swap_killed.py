"""Kill -9 before every file operation of a publish, a rollback and a retirement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLER = Path(__file__).parents[1] / "release_killer.py"


def kills(folder: Path, action: str) -> list[dict]:
    done = subprocess.run(  # noqa: PLW1510 - the return code is asserted with the output
        [sys.executable, str(KILLER), str(folder), action], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("action", "old", "new", "least"), [("publish", 2, 3, 10), ("rollback", 3, 2, 5), ("retire", 3, 3, 5)]
)
def test_the_old_or_the_new_release_answers_whole(tmp_path, action, old, new, least):
    lines = kills(tmp_path, action)
    assert len(lines) >= least
    for line in lines:
        assert line["killed"], line
        assert line["found"]["live"] in (old, new), line
        assert line["found"]["whole"], line
        assert line["after"] == line["found"], line
        assert line["again"]["whole"], line
        assert not line["left"], line
        assert set(line["numbers"]) <= set(line["recorded"]), line
    if action == "publish":
        assert {line["found"]["live"] for line in lines} == {old, new}
        assert all(line["again"]["live"] == new for line in lines)
    if action == "retire":
        assert all(line["numbers"] == [2, 3] for line in lines)
