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
        "unit/root/test_evaluation_inputs.py::"
        "test_configured_documents_are_measured_unless_only_general_sets_are_asked_for"
    ),
    "deployments ran on docstrings": (
        "unit/root/test_live_config.py::test_the_deployments_name_no_documents"
    ),
    # the store and releases
    "a vector changed at the same size was reused and published under new checksums": (
        "unit/index/test_encode.py::"
        "test_a_vector_changed_at_the_same_size_is_encoded_again_not_reused, "
        "unit/index/test_release.py::test_what_is_published_is_read_in_full"
    ),
    "zeros at the end of an index answered wrongly": (
        "unit/index/test_search.py::test_zeros_at_the_end_of_a_file_are_seen_when_the_release_is_opened, "
        "unit/root/test_integrity.py::test_a_byte_flipped_at_equal_size_and_time_is_seen"
    ),
    "damaged vectors were exported": (
        "unit/index/test_cli_live.py::test_damaged_vectors_or_documents_are_not_exported"
    ),
    "a release without its vectors went live by a rollback": (
        "unit/index/test_release.py::test_rollback_to_a_release_that_is_not_whole_is_refused_with_the_remedy"
    ),
    "a lost history.jsonl deleted releases as never live": (
        "unit/index/test_release.py::test_losing_the_audit_trail_loses_no_release, "
        "unit/index/test_release.py::test_nothing_is_cleaned_away_while_a_release_cannot_be_read"
    ),
    "a garbled line of history.jsonl stopped every publish and rollback": (
        "unit/index/test_release.py::test_a_garbled_line_of_the_audit_trail_is_skipped_and_named"
    ),
    "verify saw nothing where live artifacts, or all of them, were gone": (
        "unit/index/test_cli_live.py::test_verify_names_a_part_of_a_release_that_is_gone, "
        "unit/index/test_cli_live.py::test_verify_sees_all_artifacts_gone"
    ),
    "verify saw neither a lost current nor swapped folders": (
        "unit/index/test_cli_live.py::test_verify_sees_a_lost_current, "
        "unit/index/test_cli_live.py::test_verify_sees_swapped_folders"
    ),
    "a lost current was an empty workspace": (
        "unit/index/test_search.py::test_a_lost_current_is_not_an_empty_workspace, "
        "unit/index/test_release.py::test_a_lost_current_is_restored_from_the_audit_trail"
    ),
    "a flipped bit in a record was a traceback, and failed every run": (
        "unit/root/test_store.py::"
        "test_a_bit_flipped_anywhere_in_the_record_is_a_typed_error_and_built_anew, "
        "unit/root/test_integrity.py::test_any_flipped_bit_of_a_sealed_record_is_seen"
    ),
    "a full disk while a model was saved, and a read-only one, were tracebacks": (
        "unit/root/test_store.py::test_a_disk_that_is_full_while_a_model_is_saved_is_called_so, "
        "unit/root/test_store.py::test_what_a_disk_refuses_is_one_sentence_with_the_place"
    ),
    "a workspace that is a file was a traceback": (
        "unit/root/test_store.py::test_a_workspace_that_is_a_file_is_one_clear_error, "
        "unit/index/test_cli_live.py::test_a_workspace_that_is_a_file"
    ),
    "an export onto the working directory, a file or a broken link was a traceback": (
        "unit/index/test_cli_live.py::test_an_export_without_a_place_is_refused_in_one_sentence"
    ),
    "a folder in the place of releases/current was a traceback": (
        "unit/index/test_cli_live.py::test_a_folder_in_the_place_of_current"
    ),
    "a query that is no UTF-8 was a traceback": (
        "unit/index/test_cli_live.py::test_a_query_that_is_no_utf8_is_refused"
    ),
    "deep JSON and 5,000 digits in a filter were tracebacks": (
        "unit/index/test_cli_live.py::test_odd_filters_find_nothing_and_break_nothing"
    ),
    "a re-ranker without a name was a traceback": (
        "unit/index/test_cli_live.py::test_a_reranker_without_a_name_is_refused"
    ),
    "a search through a store that was cut over twice meanwhile answered from other rows": (
        "unit/stores/test_serving.py::test_a_collection_that_was_filled_anew_is_not_believed"
    ),
    "a run whose release was live failed with its vector store": (
        "e2e/test_lifecycle.py::test_a_store_that_fails_leaves_a_run_that_ends_well_and_says_what_is_left"
    ),
    "a distilled static model could not be asked for embeddings over HTTP": (
        "unit/models/test_local.py::test_a_static_model_counts_its_words"
    ),
    "a source edited while it was read was stored under the first digest": (
        "unit/root/test_stage_base.py::test_a_source_edited_while_it_is_read_is_refused_and_nothing_is_stored"
    ),
    "an edited model folder counted by its record": (
        "unit/models/test_resolve.py::test_an_artifacts_folder_that_was_edited_counts_as_it_is_now"
    ),
    "what nobody thought of": (
        "fuzz/test_fuzz.py::test_damage_and_odd_rows_end_in_a_message_or_the_right_answer"
    ),
    # documents, labels and models that are read
    "every chunk of a labelled document was a relevant id of its own": (
        "unit/corpus/test_split_stage.py::"
        "test_labels_of_a_cut_document_name_the_document_and_of_a_duplicate_the_kept_one, "
        "unit/evaluation/test_judged.py::test_judgements_of_documents_are_brought_to_their_chunks"
    ),
    "every chunk of a labelled document was a training positive": (
        "unit/pairs/test_labels.py::test_a_label_trains_on_the_chunk_that_answers_and_on_no_other, "
        "unit/pairs/test_labels.py::test_no_chunk_of_a_relevant_document_becomes_a_negative"
    ),
    "a refused duplicate id took a unique document and its labels with it": (
        "unit/corpus/test_identity.py::test_a_refused_row_is_no_reason_to_leave_out_another"
    ),
    "two documents of one id were mixed chunk by chunk": (
        "unit/corpus/test_identity.py::test_two_long_documents_of_one_id_are_not_mixed"
    ),
    "a label of a long duplicate named no document": (
        "unit/corpus/test_identity.py::test_a_label_of_a_long_duplicate_means_the_one_kept"
    ),
    "an embedding model given as cross-encoder scored at random": (
        "unit/models/test_missing_weights.py::test_the_packaged_embedding_model_is_no_cross_encoder"
    ),
    "missing weights were filled at random": (
        "unit/models/test_missing_weights.py::test_an_embedding_model_without_a_layer_is_refused, "
        "unit/models/test_missing_weights.py::test_a_query_writer_without_its_decoder_is_refused"
    ),
    "a damaged or pickled cross-encoder was a traceback": (
        "unit/models/test_missing_weights.py::test_a_damaged_cross_encoder_is_a_typed_error"
    ),
    "ids that differ after NUL merged, and a query id with NUL ended the process": (
        "unit/corpus/test_ids.py::test_a_document_with_such_an_id_is_refused, "
        "unit/corpus/test_ids.py::test_labels_with_such_ids_are_refused, "
        "unit/corpus/test_ids.py::test_measures_take_ids_as_they_come"
    ),
    "a source's query could write to the database": (
        "unit/corpus/test_sql_source.py::test_sqlite_is_only_read, "
        "unit/corpus/test_sql_source.py::test_postgresql_is_only_read"
    ),
    "deeply nested Markdown lost text without a word": (
        "unit/corpus/test_nothing_lost.py::test_nested_markdown_is_read_whole_or_refused"
    ),
    "a link out of the folder was indexed": (
        "unit/corpus/test_nothing_lost.py::test_a_link_out_of_the_folder_is_refused"
    ),
    "queries that differ in a sign were one": (
        "unit/pairs/test_pair_filters.py::test_queries_that_differ_in_a_sign_are_two"
    ),
    "a changed model outside the store was reused": (
        "unit/root/test_external_models.py::test_a_changed_model_is_another_recipe"
    ),
    "line ends of CR and odd encodings of tables were tracebacks": (
        "unit/corpus/test_odd_tables.py::test_lines_end_in_any_way_in_any_encoding, "
        "unit/corpus/test_odd_tables.py::test_what_encodes_no_text_is_no_encoding, "
        "unit/corpus/test_odd_tables.py::test_utf16_without_a_mark_is_a_rejected_line"
    ),
    "a delimiter of two characters was a traceback": (
        "unit/corpus/test_odd_tables.py::test_a_delimiter_is_one_character"
    ),
    "a column that stands twice was a traceback": (
        "unit/corpus/test_odd_tables.py::test_a_parquet_column_that_stands_twice_is_named"
    ),
    "an infinite count of clicks was a traceback": (
        "unit/corpus/test_odd_tables.py::test_a_count_that_is_none_is_rejected"
    ),
    "a document of 200 MB took over 16 GB": (
        "unit/corpus/test_large_document.py::test_no_call_of_the_tokenizer_takes_the_whole_document, "
        "unit/corpus/test_large_document.py::test_large_markdown_is_read_within_the_memory_allowed"
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
    "evaluate ended in a traceback where a tuned model was live": (
        "e2e/test_reranker.py::test_a_proven_one_is_live_answers_as_it_was_tested_and_stays_at_a_refresh"
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
    "a path with ~ or a variable was the name of a folder": (
        "unit/root/test_config.py::test_a_path_from_the_home_folder_is_found_and_a_variable_is_refused"
    ),
    "integer ids that two collections share made them one": (
        "unit/index/test_same_collection.py::"
        "test_numbers_that_two_collections_share_make_them_no_one_collection"
    ),
    "remedies named options that there are not, or the command that was given": (
        "unit/root/test_config.py::test_remedies_name_options_that_there_are, "
        "unit/index/test_release.py::test_rollback_to_a_release_that_is_not_there_changes_nothing"
    ),
    "a message filled the screen": (
        "unit/root/test_short_messages.py::test_a_mistake_is_told_in_a_few_lines"
    ),
    # labels and leftovers
    "empty files were documents named after themselves": (
        "unit/corpus/test_nothing_lost.py::test_an_empty_file_is_named_and_is_no_document"
    ),
    "a grade of a million took all gain to itself": (
        "unit/corpus/test_bad_labels.py::test_bad_label_ends_the_run"
    ),
    "PyTorch's private operators were called without a look whether they are there": (
        "unit/models/test_local_fused.py::test_a_pytorch_without_the_operators_gives_the_same_vectors_by_the_library, "
        "unit/models/test_local_fused.py::test_a_model_it_does_not_compute_is_declined"
    ),
    "a damaged live release stopped the run that would have replaced it": (
        "orchestration/test_stage_task.py::test_a_damaged_live_release_does_not_stop_the_run_that_replaces_it"
    ),
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
    # pages, child processes, secrets, other people's text
    "a page of another origin made a deployment with a command of its choice": (
        "orchestration/test_foreign_pages.py::test_nothing_of_it_reaches_prefect_and_its_own_pages_work, "
        "orchestration/test_foreign_pages.py::test_mlflow_refuses_other_origins_and_names, "
        "unit/root/test_loopback.py::test_a_request_of_another_origin_is_refused, "
        "unit/root/test_loopback.py::test_a_websocket_of_another_origin_is_refused, "
        "unit/root/test_loopback.py::test_a_name_that_resolves_to_loopback_is_refused"
    ),
    "random.py in the working directory was executed": (
        "unit/root/test_child_imports.py::test_no_child_runs_code_of_the_working_directory, "
        "unit/root/test_child_imports.py::test_nor_does_a_child_of_a_child"
    ),
    "a password in the tracking URI or in url_env reached reports and logs": (
        "unit/root/test_redact.py::test_the_configuration_refuses_it_without_showing_it, "
        "unit/root/test_redact.py::test_errors_do_not_show_what_came_from_the_environment, "
        "unit/root/test_tracking.py::test_a_password_of_the_environment_is_not_in_what_is_logged"
    ),
    "a title with an image made both UIs fetch it": (
        "unit/root/test_escape.py::test_markdown_of_a_page_holds_no_image_link_or_html, "
        "unit/root/test_loopback.py::"
        "test_pages_load_no_images_from_elsewhere_and_stand_in_no_frame"
    ),
    "escape sequences of ids reached the terminal": (
        "unit/root/test_escape.py::test_escape_sequences_of_ids_and_texts_do_not_reach_the_terminal"
    ),
    "a word between colons became an emoji": (
        "unit/root/test_escape.py::test_nothing_becomes_markup_or_emoji"
    ),
    "a question mark in the workspace's path put MLflow's database elsewhere": (
        "unit/root/test_tracking.py::test_the_database_lies_in_the_workspace_whatever_its_name"
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
