"""A stage's result is stored under the digest of what it read, or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from embedlib.config.base import Section
from embedlib.errors import DataError
from embedlib.fingerprint import file_sha256
from embedlib.stages.base import Stage, run_stage


class Copy(Section):
    """Where to read."""

    path: Path


def stage(edit) -> Stage:
    """Copies a file; ``edit`` is called while it does."""

    def run(job, config):
        (job.out / "copy").write_bytes(config.path.read_bytes())
        edit(config.path)
        return {}

    run.__module__ = "embedlib.stages.base"
    return Stage("copy", "copy", run, external=lambda config: {"source": file_sha256(config.path)})


def test_a_source_edited_while_it_is_read_is_refused_and_nothing_is_stored(store, tmp_path):
    source = tmp_path / "source"
    source.write_text("before")
    with pytest.raises(DataError, match=r"(?s)changed while it was read.*give the same command again"):
        run_stage(store, stage(lambda path: path.write_text("after")), Copy(path=source))
    assert list(store.artifacts()) == []
    source.write_text("before")  # put back: the edited content must not be found under it
    built = run_stage(store, stage(lambda path: None), Copy(path=source))
    assert not built.reused
    assert built.ref.file("copy").read_text() == "before"
    assert run_stage(store, stage(lambda path: sys.exit("run again")), Copy(path=source)).reused
