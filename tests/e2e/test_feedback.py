"""Search, marks, retraining: a real server between two life cycles, and nobody's hand in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from embedlib.config.root import load_config
from embedlib.contracts import read_judgements, read_rows
from embedlib.corpus.marks import MARKS
from embedlib.monitoring.report import check_live
from embedlib.monitoring.triggers import MonitorThresholds
from embedlib.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ANIMALS = ["fox", "owl", "trout", "beetle", "horse", "raven", "toad", "lynx", "heron", "otter"]
PLACES = [
    "forest",
    "river",
    "desert",
    "harbour",
    "meadow",
    "cellar",
    "orchard",
    "glacier",
    "island",
    "swamp",
    "quarry",
    "canyon",
    "lagoon",
    "steppe",
    "tundra",
]
KEY = "a key of more than sixteen characters"


def write_documents(path: Path) -> None:
    lines = []
    for i in range(150):
        animal, place = ANIMALS[i % 10], PLACES[i // 10]
        text = f"The {animal} lives near the {place} and sleeps by day. It eats what the {place} gives, and in winter nobody has seen it leave."
        lines.append(
            json.dumps(
                {"_id": f"d{i:03d}", "title": f"where the {animal} of the {place} lives", "text": text}
            )
        )
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def served(workspace: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """``embedlib serve`` as people start it."""
    command = [sys.executable, "-m", "embedlib.cli", "serve", "--workspace", str(workspace), "--port", "0"]
    command += ["--set", "serve.log_share=1", "--set", "serve.timeout_s=60"]
    environment = {**os.environ, "EMBEDLIB_SERVE_KEY": KEY}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline()
        url = line.split()[-1]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as client:
            yield client, process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_people_mark_is_trained_on_by_the_next_life_cycle(tmp_path: Path, tiny_model: Path) -> None:
    from flows.lifecycle import lifecycle

    write_documents(tmp_path / "docs.jsonl")
    values = {
        "workspace": str(tmp_path / "ws"),
        "ingest": {"source": {"type": "jsonl", "path": str(tmp_path / "docs.jsonl")}},
        "model": {"name": str(tiny_model)},
        "probe": {"enabled": False},
        "train": {"epochs": 1, "batch_size": 16},
        "evaluate": {"guards": []},
    }
    config = load_config(values=values)
    lifecycle(config=config)
    store = Store(config.workspace)
    before = {ref.fingerprint for ref in store.artifacts("queries")}

    with served(config.workspace) as (client, server):
        for i, animal in enumerate(ANIMALS):
            for place in PLACES[:3]:
                query = f"dwelling of {animal} by {place}"
                hits = client.post("/search", json={"query": query, "k": 5}).raise_for_status().json()
                assert hits["results"][0]["hits"]
            right = {"query": query, "doc_id": f"d{20 + i:03d}", "relevant": True, "release": hits["release"]}
            wrong = {**right, "doc_id": f"d{90 + i:03d}", "relevant": False}
            client.post("/marks", json=right).raise_for_status()
            client.post("/marks", json=wrong).raise_for_status()
        assert client.get("/readyz").json()["status"] == "ready"
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert len((config.workspace / MARKS).read_text().splitlines()) == 20

    lifecycle(config=config)
    (queries,) = [ref for ref in store.artifacts("queries") if ref.fingerprint not in before]
    train = read_judgements(queries.path, "train")
    assert train.qrels["mark:dwelling of fox by desert"] == {"d020": 1, "d090": 0}
    assert len(train.qrels) == 10
    labelled = {
        (row["query"], row["doc_id"])
        for ref in store.artifacts("pairs")
        for row in read_rows(ref.file("pairs.parquet"))
        if row["origin"] == "label"
    }
    assert ("dwelling of fox by desert", "d020") in labelled
    assert not {doc_id for _, doc_id in labelled} & {f"d{90 + i:03d}" for i in range(10)}

    check = check_live(config.workspace, MonitorThresholds(), now=datetime.now(UTC)).check
    assert "drift p-value" in check.figures
