"""What a command imports: a question on the command line does not wait for libraries it does not need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "torch", "transformers", "sentence_transformers", "datasets", "prefect", "mlflow", "pandas", "matplotlib",
    "sklearn", "sqlalchemy",
}  # fmt: skip
RUN = """
import json, sys
from embedlib.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_the_command_line_alone():
    assert not imported("--help") & (HEAVY | {"numpy", "scipy", "pyarrow", "faiss", "pydantic", "bm25s"})


@pytest.mark.parametrize("mode", ["bm25", "dense", "hybrid"])
def test_a_search_imports_no_framework(mode, released: Path):
    found = imported("search", "river stone", "--workspace", str(released), "--mode", mode)
    assert not found & HEAVY
    assert ("faiss" in found) == (mode != "bm25")


STARTING = """
import importlib, json, sys
from embedlib.cli import main
def after_the_first_line(name):
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
    sys.exit(0)
importlib.import_module("embedlib.cli.app").from_flows = after_the_first_line
main()
"""


def test_a_run_says_where_it_is_logged_before_any_framework_is_imported(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("some words")
    words = ["run", "--data", str(tmp_path / "docs"), "--workspace", str(tmp_path / "ws")]
    done = subprocess.run(
        [sys.executable, "-c", STARTING, *words], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("lifecycle in ")
    assert not set(json.loads(done.stdout)) & (HEAVY - {"sqlalchemy"})  # sources are checked first
