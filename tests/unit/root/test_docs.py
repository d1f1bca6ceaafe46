"""The maps for people lead somewhere: every path that the documents name exists."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
#: A path of this repository in backticks.
PATH = re.compile(r"`((?:embedlib|flows|tasks|tests|benchmarks|examples|docs)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_of_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {ROOT / path for path in PATH.findall(text)}
    linked = {page.parent / path for path in LINK.findall(text)}
    missing = sorted(str(path.relative_to(ROOT)) for path in named | linked if not path.exists())
    assert not missing


def test_the_architecture_page_names_every_stage_and_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    stages = {path.name for path in ROOT.glob("embedlib/stages/*.py")}
    helpers = {"__init__.py", "base.py", "sources.py", "guards.py", "general.py", "distil.py", "training.py"}
    missing = [name for name in sorted(stages - helpers) if f"`embedlib/stages/{name}`" not in text]
    packages = [path.parent.name for path in ROOT.glob("embedlib/*/__init__.py")]
    missing += [name for name in packages if name != "stages" and f"`embedlib/{name}/`" not in text]
    assert not missing


@pytest.mark.parametrize("name", ["commands.md", "configuration.md"])
def test_generated_pages_are_what_the_program_says(name: str) -> None:
    module = runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="generate")
    expected = module["PAGES"][name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == expected, "run: python docs/generate.py"
