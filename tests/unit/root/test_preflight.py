"""Every mistake that can be seen beforehand is told before the first stage, all of them at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedlib.config.root import load_config
from embedlib.errors import ConfigError, UserError
from embedlib.models.resolve import dimension_of
from embedlib.stages import preflight as module
from embedlib.stages.preflight import EVALUATE, MONITOR, REFRESH, preflight


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    path = tmp_path / "docs.jsonl"
    path.write_text('{"text": "one"}\n')
    return path


def told(values: dict[str, Any], *sections: str, **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        preflight(load_config(values=values), *([sections] if sections else []), **more)
    return caught.value.problems


def test_everything_at_once_each_with_its_option(tmp_path, docs, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setitem(module.ENGINES, "dask", "no_such_package")
    (tmp_path / "guard").mkdir()
    (tmp_path / "odd.xyz").write_text("")
    (tmp_path / "file").write_text("")
    model = tmp_path / "not-a-model"
    model.mkdir()
    problems = told(
        {
            "workspace": str(tmp_path / "file"),
            "ingest": {"source": {"type": "auto", "path": str(tmp_path / "odd.xyz")}},
            "split": {"labels": {"type": "log", "path": str(tmp_path / "clicks.csv")}},
            "model": {"name": "./no-model"},
            "mine": {"cross_encoder": str(model)},
            "synthesize": {"llm": {"model": "m", "key_env": "NOT_SET"}},
            "evaluate": {
                "measures": ["nDCG@10", "NDGC@10"],
                "runs": [str(tmp_path / "theirs.trec")],
                "guards": [
                    {"type": "similarity", "file": str(tmp_path / "sts.tsv")},
                    {"type": "beir", "folder": str(tmp_path / "guard"), "measure": "recall"},
                ],
            },
            "monitor": {"labels": str(tmp_path / "fresh.csv")},
            "run": {"task_runner": "dask"},
        }
    )
    options = [
        "workspace: a file stands there",
        "ingest.source: cannot tell what 'odd.xyz' is",
        "split.labels.path: there is no such",
        "model.name: no model folder './no-model'",
        "mine.cross_encoder: ",
        "synthesize.llm.key_env: the environment variable NOT_SET is not set",
        "evaluate.measures: measure 'NDGC@10'",
        "evaluate.runs.0: there is no such",
        "evaluate.guards.0.file: there is no such",
        "evaluate.guards.1: ",
        "evaluate.guards.1.measure: measure 'recall'",
        "monitor.labels: there is no such",
        "run.task_runner: 'dask' needs",
    ]
    for option in options:
        assert any(problem.startswith(option) for problem in problems), (option, problems)
    assert len(problems) == len(options), problems


def test_what_is_right_passes(tmp_path, docs, tiny_model):
    values = {
        "workspace": str(tmp_path / "new" / "ws"),
        "ingest": {"source": {"type": "auto", "path": str(docs)}},
        "model": {"name": str(tiny_model)},
        "index": {"factory": "PQ16"},
    }
    preflight(load_config(values=values))
    preflight(load_config())


@pytest.mark.parametrize(
    ("factory", "shown"),
    [("HSNW32", "cannot make an index 'HSNW32' of 32 components"), ("PQ48", "'PQ48' of 32 components")],
)
def test_an_index_that_cannot_be_made_for_the_model(docs, tiny_model, factory, shown):
    values = {
        "ingest": {"source": {"type": "auto", "path": str(docs)}},
        "model": {"name": str(tiny_model)},
        "index": {"factory": factory},
    }
    (problem,) = told(values)
    assert problem.startswith("index.factory: ")
    assert shown in problem


def test_the_dimension_is_read_from_the_models_files(tmp_path, tiny_model, minilm):
    assert dimension_of(tiny_model) == 32
    assert dimension_of(minilm) == 384
    (tmp_path / "2_Dense").mkdir()
    modules = [{"type": "a.Transformer", "path": ""}, {"type": "a.Dense", "path": "2_Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "2_Dense" / "config.json").write_text('{"in_features": 768, "out_features": 128}')
    assert dimension_of(tmp_path) == 128
    (tmp_path / "modules.json").write_text("[1]")
    assert dimension_of(tmp_path) is None


def test_a_database_without_its_address(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_URL", raising=False)
    (problem,) = told({"ingest": {"source": {"type": "sql", "query": "select 1", "url_env": "NO_URL"}}})
    assert problem.startswith("ingest.source.url_env: ")
    assert "NO_URL" in problem


def test_a_query_that_is_no_select(monkeypatch):
    monkeypatch.setenv("SOME_URL", "sqlite:///some.db")
    source = {
        "type": "sql",
        "query": "drop table t",
        "version_query": "select 1; vacuum",
        "url_env": "SOME_URL",
    }
    problems = told({"ingest": {"source": source}})
    assert [problem.split(": ")[0] for problem in problems] == [
        "ingest.source.query",
        "ingest.source.version_query",
    ]


def test_a_command_is_told_only_of_what_it_reads(tmp_path, docs):
    values = {
        "ingest": {"source": {"type": "auto", "path": str(docs)}},
        "evaluate": {"runs": [str(tmp_path / "none.trec")]},
        "monitor": {"labels": str(tmp_path / "none.csv")},
    }
    preflight(load_config(values=values), REFRESH)
    assert [p.partition(":")[0] for p in told(values, *MONITOR)] == ["monitor.labels"]
    assert [p.partition(":")[0] for p in told(values, *EVALUATE, models=["./none"])] == [
        "evaluate.runs.0",
        "model",
    ]


def test_a_model_behind_an_api_is_evaluated_and_never_tuned(docs, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    name = "openai:text-embedding-3-small"
    values = {"ingest": {"source": {"type": "auto", "path": str(docs)}}}
    (problem,) = told(values, *EVALUATE, models=[name])
    assert "environment variable OPENAI_API_KEY is not set" in problem
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-0123456789")
    preflight(load_config(values=values), EVALUATE, models=[name])
    problems = told(values | {"model": {"name": name}})
    assert any("model.name: " in p and "cannot be tuned" in p for p in problems)


def test_a_static_model_is_evaluated_and_never_tuned(docs, tmp_path):
    static = tmp_path / "static"
    static.mkdir()
    kind = "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding"
    (static / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    values = {"ingest": {"source": {"type": "auto", "path": str(docs)}}, "model": {"name": str(static)}}
    (problem,) = told(values)
    assert problem.startswith("model.name: a static model has no layers to train")
    preflight(load_config(values=values), EVALUATE)


def test_no_torch_is_needed(tmp_path, docs):
    code = (
        "import sys; from embedlib.config.root import load_config;"
        "from embedlib.stages.preflight import preflight;"
        f"preflight(load_config(values={{'ingest': {{'source': {{'type': 'auto', 'path': {str(docs)!r}}}}}}}));"
        "print([n for n in ('torch', 'transformers', 'mlflow', 'prefect') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ["config", "--check", "c.yaml"],
        ["run", "--config", "c.yaml"],
        ["evaluate", "--config", "c.yaml"],
        ["evaluate", "--data", "docs.jsonl", "--run", "none.trec"],
    ],
    ids=" ".join,
)
def test_the_commands_check_before_anything_starts(tmp_path, docs, monkeypatch, capsys, words):
    from embedlib.cli import main

    source = "ingest: {source: {type: jsonl, path: docs.jsonl}}\n"
    (tmp_path / "c.yaml").write_text(source + "evaluate: {runs: [none.trec]}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("embedlib.cli.lifecycle.start_flow", pytest.fail)
    monkeypatch.setattr("embedlib.cli.measure.start_flow", pytest.fail)
    monkeypatch.setattr(sys, "argv", ["embedlib", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "evaluate.runs.0: there is no such file or folder; found 'none.trec'" in capsys.readouterr().err
    assert not (tmp_path / "workspace").exists()


def test_nobody_is_waited_for_where_nobody_can_answer(tmp_path, docs, monkeypatch):
    from flows.approval import require_somebody

    config = load_config(values={"decide": {"approval": "human"}})
    monkeypatch.setattr("flows.approval.ends_with_us", lambda _: True)
    with pytest.raises(UserError, match="no Prefect server"):
        require_somebody(config)
    require_somebody(load_config())
    monkeypatch.setattr("flows.approval.ends_with_us", lambda _: False)
    require_somebody(config)


def test_a_reranker_starts_from_the_runs_models_or_one_that_is_there_and_never_from_a_static_student(
    docs, tmp_path
) -> None:
    values = {"ingest": {"source": {"type": "auto", "path": str(docs)}}, "workspace": str(tmp_path / "ws")}
    preflight(load_config(values={**values, "rerank": {"start": "served"}}))
    (missing,) = told({**values, "rerank": {"start": str(tmp_path / "none")}})
    assert missing.startswith("rerank.start: no model folder")
    (static,) = told({**values, "rerank": {"start": "served"}, "distil": {"objective": "speed"}})
    assert static.startswith("rerank.start: a static student")
