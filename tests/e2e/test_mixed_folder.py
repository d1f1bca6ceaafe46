"""The whole table on a folder of 30 mixed files: it runs, and the release answers from each format."""

from __future__ import annotations

from pathlib import Path

import office_files as files
import pytest
from records import json_of

from embedlib.config.root import load_config
from embedlib.index.search import Searcher
from embedlib.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_folder_of_mixed_files_becomes_a_release_that_answers(tmp_path: Path, minilm: Path) -> None:
    from flows.lifecycle import lifecycle

    values = {
        "workspace": str(tmp_path / "ws"),
        "ingest": {"source": {"type": "auto", "path": str(files.mixed_folder(tmp_path / "docs"))}},
        "model": {"name": str(minilm)},
        "probe": {"enabled": False},
        "train": {"epochs": 1, "batch_size": 16},
        "evaluate": {"guards": []},
    }
    config = load_config(values=values)
    outcome = lifecycle(config=config)
    decision = Store(config.workspace).get("decision", outcome.decision)
    profile = json_of(decision.parents["evaluation"].parents["corpus"], "profile.json")
    assert profile["left_out"]["count"] == len(files.SKIPPED)
    searcher = Searcher(config.workspace)
    for question, name in files.ANSWERS.items():
        first = searcher.search(question, k=1)[0]
        assert first.source.startswith(name), question
    crane = searcher.search("which bearing grease does the harbour crane need", k=1)[0]
    assert crane.metadata["pages"] == 2
