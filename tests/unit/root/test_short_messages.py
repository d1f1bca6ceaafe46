"""The commonest mistakes: what a person reads of each is short, once, and says what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from embedlib.cli import main
from embedlib.cli.console import PIPED_WIDTH
from embedlib.stages.base import run_stage
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.split import STAGE as SPLIT
from embedlib.store import Store

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
MOST_LINES = 6
#: Of a terminal, as wide as what is written to a file.
COLUMNS = PIPED_WIDTH

#: Files of a folder of mistakes: what stands in them, a row of JSONL for each item of a list.
DOCUMENTS = [{"_id": f"d{i}", "title": f"title {i}", "text": f"text of document {i}"} for i in range(30)]
FILES: dict[str, Any] = {
    "docs.jsonl": DOCUMENTS,
    "one.jsonl": DOCUMENTS[:1],
    "twice.jsonl": [*DOCUMENTS, {"_id": "d3", "text": "another text under a taken id"}],
    "broken.jsonl": '{"_id": "x", "text": ',
    "empty.jsonl": "",
    "no-text.csv": "id,colour\n1,red\n2,blue\n",
    "table.xyz": "what is this",
    "key.yaml": "train: {epoch: 1}\n",
    "range.yaml": "train: {epochs: -1}\n",
    "twice.yaml": "seed: 1\nseed: 2\n",
    "list.yaml": "- train\n",
    "tabs.yaml": "train:\n\tepochs: 1\n",
    "beir/corpus.jsonl": DOCUMENTS,
    "beir/queries.jsonl": [{"_id": "q1", "text": "what is document 3"}],
    "beir/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td99\t1\n",
    "docs/pdf.pdf": "no pdf",
}
#: Command lines; LIVE is a workspace with a release, WS one that is not there yet.
MISTAKES: dict[str, str] = {
    "no documents": "run -w WS",
    "documents that are not there": "run --data nowhere -w WS",
    "a folder that is not in the home folder": "run --data ~/no-such-folder -w WS",
    "a variable in a path": "run --data ${HOME}/docs -w WS",
    "one document": "run --data one.jsonl -w WS",
    "an id twice": "run --data twice.jsonl -w WS",
    "JSON that is cut off": "run --data broken.jsonl -w WS",
    "an empty file": "run --data empty.jsonl -w WS",
    "a table without text": "run --data no-text.csv -w WS",
    "a file of no known kind": "run --data table.xyz -w WS",
    "a folder in which nothing can be read": "run --data docs -w WS",
    "a judgement of no document": "run --data beir -w WS",
    "a misspelt option": "run --data docs.jsonl --set train.epoch=1 -w WS",
    "an option without a value": "run --data docs.jsonl --set train.epochs -w WS",
    "a value out of range": "run --data docs.jsonl --set train.epochs=-1 -w WS",
    "a word for a number": "run --data docs.jsonl --set train.epochs=many -w WS",
    "a misspelt measure": "run --data docs.jsonl --set evaluate.measures=[NDGC@10] --set evaluate.primary=NDGC@10 -w WS",
    "a model that is not there": "run --data docs.jsonl --set model.name=no/such-model -w WS",
    "a misspelt loss": "run --data docs.jsonl --set train.loss=mnlr -w WS",
    "a bad index factory": "run --data docs.jsonl --set index.factory=Falt -w WS",
    "a workspace that is a file": "run --data docs.jsonl -w one.jsonl",
    "a configuration that is not there": "run --config no.yaml -w WS",
    "a misspelt key in a file": "run --config key.yaml -w WS",
    "a value out of range in a file": "run --config range.yaml -w WS",
    "a key twice in a file": "run --config twice.yaml -w WS",
    "a file that is a list": "run --config list.yaml -w WS",
    "tabs in a file": "run --config tabs.yaml -w WS",
    "a mistyped workspace": "search words -w WS",
    "a search for nothing": "search  -w LIVE",
    "an unknown mode": "search words -w LIVE --mode sparse!",
    "a filter without a value": "search words -w LIVE --where year",
    "a re-ranker that is not there": "search words -w LIVE --rerank no/such-model",
    "a release that is not there": "rollback -w LIVE --to 9",
    "no release before": "rollback -w LIVE",
    "an export onto files": "export docs -w LIVE",
    "an unknown format": "export out -w LIVE --format csv!",
    "other documents": "refresh --data one.jsonl -w LIVE",
    "a name that is no repository": "push-model a/b/c -w LIVE",
    "an address for all without a key": "serve -w LIVE --host 0.0.0.0",
    "a limit that is none": "evaluate --data beir -w WS --fail-under nDCG@10=nan",
    "a misspelt command": "serach words",
    "a misspelt flag": "search words --workspce LIVE",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = content if isinstance(content, list) else None
        path.write_text("".join(json.dumps(r) + "\n" for r in rows) if rows else str(content))
    return folder


def first_stages(name: str, *, config: Any, **_: Any) -> None:
    """What a flow does with the documents, without Prefect."""
    store = Store(config.workspace)
    corpus = run_stage(store, INGEST, config.ingest).ref
    run_stage(store, SPLIT, config.split, corpus=corpus)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_a_few_lines(mistake, folder, release_template, monkeypatch, capsys, tmp_path):
    places = {"LIVE": str(release_template / "workspace"), "WS": str(tmp_path / "ws")}
    words = [places.get(word, word) for word in MISTAKES[mistake].split(" ")]
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("embedlib.cli.lifecycle.start_flow", first_stages)
    monkeypatch.setattr(sys, "argv", ["embedlib", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    told = capsys.readouterr()
    short = told.err.replace(str(tmp_path), "").replace(str(folder), "")
    lines = [line for line in short.splitlines() if line.strip(" ─╭╮╰╯│")]
    assert caught.value.code == 2, told
    assert told.out == ""
    assert 1 <= sum(-(-len(line) // COLUMNS) for line in lines) <= MOST_LINES, told.err
