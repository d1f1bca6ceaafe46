"""The configuration: every mistake at once, each with its path; the example cannot drift."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import embedlib.cli.main  # noqa: F401 (registers the commands)
from embedlib.cli.app import app, settings
from embedlib.config.base import Section
from embedlib.config.example import FIRST, annotated_example
from embedlib.config.root import Config, _models_in, load_config
from embedlib.errors import ConfigError, UserError


def test_documents_alone_are_a_complete_configuration(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("ingest: {source: {type: auto, path: docs/}}\n")
    config = load_config(file)
    assert config.ingest.source.path == Path("docs")
    assert config.split.labels.type == "auto", "labels that lie beside the documents are found"


def test_all_mistakes_are_told_at_once_with_their_paths() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=["train.epoch=1", "seed=-1", "nonsense.x=2"])
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    assert "train.epoch: unknown option; did you mean 'epochs'?" in problems
    assert "seed: Input should be greater than or equal to 0; found -1" in problems
    assert "nonsense: unknown option; allowed:" in problems
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "match"), [("a: [", "not plain YAML"), ("- 1", "not a mapping"), (None, "cannot be read")]
)
def test_bad_files(tmp_path: Path, text: str | None, match: str) -> None:
    file = tmp_path / "c.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=match):
        load_config(file)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("seed: 1\nseed: 2", "the key 'seed' stands here a second time, first in line 1"),
        ("train: {epochs: 1, epochs: 2}", "a key stands here twice"),
        ("a: &a [x, x]\nb: [*a, *a]", "aliases are not taken"),
        ("seed: " + "9" * 5000, "4300 digits"),
        ("a: " + "[" * 200 + "]" * 200, "more than 20 levels"),
        ("a: " + "{a: " * 5000 + "1" + "}" * 5000, "more than 20 levels"),
        ("\x00", "not plain YAML"),
    ],
)
def test_yaml_that_is_ambiguous_or_grows_is_refused_at_its_place(
    tmp_path: Path, text: str, match: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=match) as caught:
        load_config(file)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("value", ["foo", "[1]", "3", "true", "2001-99-99"])
@pytest.mark.parametrize("section", ["ingest", "split", "model", "train", "ingest.source", "split.labels"])
def test_something_else_in_place_of_a_section_is_named(section: str, value: str) -> None:
    with pytest.raises(ConfigError, match=section) as caught:
        load_config(overrides=[f"{section}={value}"])
    assert len(caught.value.problems) == 1


def test_words_stay_words() -> None:
    given = [
        "ingest.chunk.mode=on",
        "report.title=2001-99-99",
        "tracking.experiment=no",
        "evaluate.bm25=true",
    ]
    config = load_config(overrides=given)
    assert (config.ingest.chunk.mode, config.report.title, config.tracking.experiment) == (
        "on",
        "2001-99-99",
        "no",
    )
    assert load_config(overrides=["ingest.near_duplicates.action=off"]).ingest.near_duplicates.action == "off"
    assert load_config(overrides=["probe.enabled=off"]).probe.enabled is False


def test_a_number_that_is_none_is_refused_and_a_long_value_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="finite number"):
        load_config(overrides=["index.memory_mb=.inf"])
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=["seed=" + "x" * 5000])
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("override", ["train.epochs", "=1", "a..b=1", "seed=[1"])
def test_bad_overrides_are_named(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config(overrides=[override])


def test_overrides_win_over_file_and_values(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("seed: 1\nworkspace: here\n")
    config = load_config(file, values={"workspace": "there"}, overrides=["seed=3"])
    assert (config.seed, config.workspace) == (3, Path("there"))


def test_documents_are_cut_with_the_base_models_tokenizer_unless_told_otherwise() -> None:
    assert load_config(overrides=["model.name=other"]).ingest.tokenizer == "other"
    assert load_config(overrides=["model.name=other", "ingest.tokenizer=x"]).ingest.tokenizer == "x"
    assert load_config().ingest.tokenizer == load_config().model.name


def test_a_workspace_named_in_the_file_is_used_by_every_command_that_reads_one(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("workspace: here\n")
    assert settings(file, None, None, None).workspace == Path("here")
    signatures = [inspect.signature(command.callback).parameters for command in app.registered_commands]
    configured = [found for found in signatures if {"config", "workspace"} <= set(found)]
    assert len(configured) >= 4
    assert all(found["workspace"].default is None for found in configured)


def test_the_printed_example_is_the_default_configuration() -> None:
    example = yaml.safe_load(annotated_example(Config))
    assert Config.model_validate(example) == Config()


def test_the_first_page_is_about_twenty_options_that_exist() -> None:
    page = annotated_example(Config, FIRST)
    assert Config.model_validate(yaml.safe_load(page)) == Config()
    whole = Config().model_dump()
    for path in FIRST:
        part = whole
        for name in path.split("."):
            assert name in part, path
            part = part[name]
    options = re.findall(r"^ *[a-z_]+: ", page, re.M)
    assert 15 <= len(options) <= 25
    assert len(options) == len(FIRST)


def sections(model: type[Section]) -> list[type[Section]]:
    inner = [f.annotation for f in model.model_fields.values()]
    nested = [t for t in inner if isinstance(t, type) and issubclass(t, Section)]
    return [model, *(s for t in nested for s in sections(t))]


@pytest.mark.parametrize("section", sections(Config), ids=lambda s: s.__name__)
def test_every_option_is_described(section: type[Section]) -> None:
    missing = [
        name for name, field in section.model_fields.items() if not field.description and name != "type"
    ]
    assert missing == []


def test_operational_options_leave_the_identity_alone() -> None:
    one, two = load_config(values={"workspace": "a"}), load_config(values={"workspace": "b"})
    assert one.identity() == two.identity()
    assert load_config(overrides=["seed=1"]).identity() != one.identity()


def test_what_a_person_names_first_goes_on_top_of_the_options(tmp_path):
    from embedlib.config.root import Config

    (tmp_path / "labels").mkdir()
    options = Config.model_validate({"workspace": "a", "train": {"epochs": 2}})
    made = options.of(tmp_path / "docs", tmp_path / "labels", tmp_path / "ws")
    assert made.ingest.source.path == tmp_path / "docs"
    assert (made.split.labels.type, made.split.labels.path) == ("beir", tmp_path / "labels")
    assert (made.workspace, made.train.epochs) == (tmp_path / "ws", 2)
    assert made.model_fields_set == {"workspace", "train", "ingest", "split"}
    assert options.of() is options
    assert options.of(labels=tmp_path / "clicks.csv").split.labels.type == "log"


def test_a_path_from_the_home_folder_is_found_and_a_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    values = {
        "workspace": "~/ws",
        "ingest": {"source": {"type": "auto", "path": "~/docs"}},
        "evaluate": {"runs": ["~/a.trec"]},
    }
    config = load_config(values=values)
    assert config.workspace == tmp_path / "ws"
    assert config.ingest.source.path == config.split.labels.path == tmp_path / "docs"
    assert config.evaluate.runs == (tmp_path / "a.trec",)
    for written in ("${HOME}/docs", "$HOME/docs"):
        with pytest.raises(ConfigError, match="write the path out, with ~ for the home folder") as caught:
            load_config(values={"ingest": {"source": {"type": "auto", "path": written}}})
        assert repr(written) in str(caught.value)
    (tmp_path / "odd$name").mkdir()
    assert load_config(values={"workspace": str(tmp_path / "odd$name")}).workspace.name == "odd$name"


def test_remedies_name_options_that_there_are() -> None:
    root = Path(__file__).resolve().parents[3]
    texts = [
        path.read_text() for name in ("embedlib", "flows", "tasks") for path in (root / name).rglob("*.py")
    ]
    named = {option for text in texts for option in re.findall(r"--set ((?:[a-z_]+\.)+[a-z_]+)", text)}
    assert len(named) > 5
    for option in sorted(named):
        section: Any = Config
        for part in option.split("."):
            members = [m for m in _models_in(section) if part in m.model_fields]
            assert members, f"{option}: no option of that name"
            section = members[0].model_fields[part].annotation
