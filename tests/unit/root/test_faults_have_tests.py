"""Faults that were found from outside, each with the test that would find it again."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]

#: What went wrong → ``file::test`` below ``tests``, several by commas.
FAULTS = {
    # documents and configuration of a workspace
    "a refresh without --data published the standard library's docstrings over the owner's index": (
        "e2e/test_lifecycle.py::test_a_workspace_alone_says_what_to_refresh_and_to_watch"
    ),
    "a refresh with another collection took the release's place": (
        "e2e/test_lifecycle.py::test_other_documents_take_no_release_s_place_unless_told_to"
    ),
    "a mistyped workspace became a new folder": (
        "unit/root/test_live_config.py::test_a_mistyped_workspace_is_an_error_and_no_new_folder"
    ),
    "an evaluation without documents ran on docstrings": (
        "unit/root/test_given.py::"
        "test_configured_documents_are_measured_unless_only_general_sets_are_asked_for"
    ),
    "deployments ran on docstrings": (
        "unit/root/test_live_config.py::test_the_deployments_name_no_documents"
    ),
    # what commands print, and their exit codes
    "the doctor's text output ended in a traceback": "unit/root/test_cli_text.py::test_the_text_of",
    "a command's text output ran in no test": "unit/root/test_cli_text.py::test_every_command_is_here",
    "the doctor exited with 0 where nothing was live": (
        "unit/root/test_cli_text.py::test_the_doctor_exits_with_1_where_nothing_is_live"
    ),
    "the doctor's exit codes were not those of the other commands": (
        "unit/doctor/test_quality.py::test_exit_code_says_whether_something_is_to_be_mended"
    ),
    "the doctor read the vectors' precision under the wrong key": (
        "unit/root/test_cli_text.py::test_the_doctor_encodes_in_the_vectors_precision"
    ),
    "a mistake inside a flow was followed by tracebacks, and told late": (
        "orchestration/test_user_errors.py::"
        "test_the_command_prints_the_message_once_and_nothing_of_prefect_s, "
        "orchestration/test_user_errors.py::"
        "test_only_errors_raised_on_purpose_are_told_before_the_run_is_closed"
    ),
    "--fail-under nDCG@10=nan let everything pass": (
        "unit/root/test_cli_evaluate.py::test_mistakes_are_told_with_code_2"
    ),
    "evaluate --csv onto a folder failed after the evaluation": (
        "unit/root/test_cli_evaluate.py::test_a_table_that_cannot_be_written_is_refused_before_the_evaluation"
    ),
    # before the first stage
    "misspelt measures, missing guards and run files were found after training": (
        "unit/root/test_preflight.py::test_everything_at_once_each_with_its_option"
    ),
    "a bad index factory was found after the decision": (
        "unit/root/test_preflight.py::test_an_index_that_cannot_be_made_for_the_model"
    ),
    "a person's approval was awaited for seven days without a server": (
        "unit/root/test_preflight.py::test_nobody_is_waited_for_where_nobody_can_answer"
    ),
    "a webhook address that is none was accepted": (
        "orchestration/test_user_errors.py::test_an_address_that_is_none_is_refused_and_not_shown"
    ),
    # YAML
    "YAML's on and off were read as truth values, a bad date as a crash": (
        "unit/root/test_config.py::test_words_stay_words"
    ),
    "duplicate keys, alias bombs, deep nesting and endless numbers in YAML": (
        "unit/root/test_config.py::test_yaml_that_is_ambiguous_or_grows_is_refused_at_its_place"
    ),
    "a word or a list in place of a section was a traceback": (
        "unit/root/test_config.py::test_something_else_in_place_of_a_section_is_named"
    ),
    # labels and leftovers
    "a BEIR folder without labels fell back to derived queries without a word": (
        "unit/corpus/test_bad_labels.py::test_a_beir_folder_without_labels_says_so"
    ),
    "TREC judgements of ids with commas, and a first row that is no header, were misread": (
        "unit/corpus/test_bad_labels.py::test_ids_with_commas_and_a_first_row_without_a_header"
    ),
    "failed ingests left tens of megabytes in scratch": (
        "unit/root/test_store.py::test_a_mistake_of_the_user_leaves_no_scratch_either"
    ),
    # runs
    "only two hundred task runs were waited for": (
        "orchestration/test_user_errors.py::test_all_task_runs_are_waited_for_however_many"
    ),
    "shards were tried again whatever stopped them": (
        "orchestration/test_user_errors.py::"
        "test_a_mistake_in_a_shard_is_not_tried_again_and_the_rest_as_configured"
    ),
}


@cache
def names_in(file: Path) -> set[str]:
    return {n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_test_is_there(fault: str) -> None:
    for named in FAULTS[fault].split(", "):
        file, _, test = named.partition("::")
        assert test.startswith("test_")
        assert test in names_in(TESTS / file), named
