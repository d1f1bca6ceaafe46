"""An artifact's JSON file is read as its model says, or the error names the file and the field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedlib.errors import CorruptArtifact
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.records import (
    Decision,
    EvaluationRecord,
    GuardFigure,
    JudgedFigures,
    read_guards,
)
from embedlib.evaluation.significance import Interval
from embedlib.json_file import write_json

INTERVAL = Interval(0.05, 0.03, 0.07, 200)
GUARD = GuardFigure("docstrings", "nDCG@10", 0.7, 0.75, INTERVAL, 0.05, True)
COMPARISON = Comparison("human", "nDCG@10", "candidate", "base", INTERVAL, 0.01, 0.02, None, None, 9, 4)
RECORD = EvaluationRecord(
    primary="nDCG@10",
    plans={},
    level=0.95,
    decides="human",
    datasets={
        "human": JudgedFigures(
            queries=200, answerable=199, documents=9, systems={"base": {"nDCG@10": INTERVAL}}
        )
    },
    comparisons=[COMPARISON],
)
DECISION = {"verdict": "keep", "headline": "Kept.", "reasons": ["it loses"], "advice": []}
DECISION |= {"decided_on": "human", "numbers": {}}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    write_json(tmp_path / "guards.json", [GUARD])
    assert EvaluationRecord.read(tmp_path) == RECORD
    assert read_guards(tmp_path) == [GUARD]
    assert json.loads((tmp_path / "guards.json").read_text())[0]["difference"]["low"] == 0.03


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({**DECISION, "verdikt": "keep"}, "verdikt: Extra inputs are not permitted"),
        ({n: v for n, v in DECISION.items() if n != "reasons"}, "reasons: Field required"),
        ({**DECISION, "verdict": "perhaps"}, "verdict: Input should be 'promote'"),
        ({**DECISION, "search": {"base": {"mode": "magic"}}}, "search.base.mode: Input should be 'dense'"),
        ([], "the whole: Input should be an object"),
        (None, "No such file"),
    ],
    ids=["unknown field", "missing field", "unknown value", "nested value", "no object", "no file"],
)
def test_other_fields_are_damage_that_names_file_field_and_remedy(
    tmp_path: Path, content, found: str
) -> None:
    path = tmp_path / "decision.json"
    if content is not None:
        path.write_text(json.dumps(content))
    with pytest.raises(CorruptArtifact) as caught:
        Decision.read(tmp_path)
    assert caught.value.where == str(path)
    assert found in caught.value.found
    assert "builds it anew" in caught.value.remedy


@pytest.mark.parametrize("change", [{"extra": 1}, {"difference": {"mean": 0.0, "low": 0.0, "high": 0.0}}])
def test_the_items_of_a_list_are_checked_too(tmp_path: Path, change) -> None:
    write_json(tmp_path / "guards.json", [GUARD])
    (row,) = json.loads((tmp_path / "guards.json").read_text())
    write_json(tmp_path / "guards.json", [row, {**row, **change}])
    with pytest.raises(CorruptArtifact, match=r"guards\.json") as caught:
        read_guards(tmp_path)
    assert caught.value.found.startswith("1.")
