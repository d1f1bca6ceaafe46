"""Whatever is published, rolled back, retired or killed, in any order: one whole release is live."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import index_workspace
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from index_workspace import Workspace, load, words

from embedlib.errors import UserError
from embedlib.index import catalog
from embedlib.index.history import history
from embedlib.index.reconcile import reconcile
from embedlib.index.release import Terms, publish, rollback
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.retention import retire
from embedlib.index.verify import Checks

CHOICES = 3


@pytest.fixture(scope="module", autouse=True)
def _prepared(tmp_path_factory):
    """One workspace with the artifacts of three possible releases; examples share its artifacts."""
    patch = pytest.MonkeyPatch()
    patch.setattr("embedlib.stages.index.load_encoder", index_workspace.load)
    workspace = Workspace(tmp_path_factory.mktemp("prepared") / "ws")
    Life.parts = [workspace.parts(words(8, seed), bm25=False) for seed in range(CHOICES)]
    Life.artifacts = workspace.root / "artifacts"
    patch.setattr(
        "os.fsync", lambda descriptor: None
    )  # power cuts are not simulated; syncing takes most of the time
    yield
    patch.undo()


class Life(RuleBasedStateMachine):
    """Publishers, readers, retention and crashes against one ``releases`` folder."""

    parts: list[dict] = []  # noqa: RUF012
    artifacts: Path

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="releases-"))
        (self.root / "artifacts").symlink_to(self.artifacts)
        self.live: int | None = None
        self.content: dict[int, int] = {}
        self.holds: list[ReleaseLock] = []
        self.highest = 0

    def known(self) -> list[int]:
        """Releases that are there and were live at some time; a half-made one is not to be named."""
        return sorted(set(catalog.numbers(self.root)) & set(self.content))

    def teardown(self):
        for hold in self.holds:
            hold.close()
        shutil.rmtree(self.root)

    @rule(choice=st.integers(0, CHOICES - 1))
    def publish(self, choice):
        parts = self.parts[choice]
        checks = Checks(self_checks=0, encoder=load(parts["model"].path))
        release = publish(self.root, **parts, terms=Terms(checks=checks))
        assert release.reused == (self.live is not None and self.content.get(self.live) == choice)
        if not release.reused:
            assert release.number > self.highest
            self.highest = release.number
            self.content[release.number] = choice
        self.live = release.number

    @precondition(lambda self: self.live is not None)
    @rule(data=st.data())
    def roll_back(self, data):
        target = data.draw(st.sampled_from([None, *self.known()]))
        try:
            self.live = rollback(self.root, target).number
        except UserError:
            assert target is None

    @rule(keep=st.integers(1, 3))
    def retire(self, keep):
        held = {hold.number for hold in self.holds}
        assert not held & set(retire(self.root, keep=keep))
        assert held <= set(catalog.numbers(self.root))

    @precondition(lambda self: self.live is not None)
    @rule(data=st.data())
    def read(self, data):
        self.holds.append(ReleaseLock(self.root, data.draw(st.sampled_from(self.known()))))

    @precondition(lambda self: self.holds)
    @rule()
    def stop_reading(self):
        self.holds.pop(0).close()

    @precondition(lambda self: self.live is not None)
    @rule(step=st.sampled_from(["before the rename", "before the swap", "link not renamed", "not recorded"]))
    def die_in_a_publish(self, step):
        """Leave what a publisher killed at this step leaves."""
        reconcile(self.root)  # as every publisher does first
        folder, number = self.root / "releases", self.highest + 1
        if step == "before the rename":
            shutil.copytree(folder / str(self.live), folder / f".tmp-{number}")
        elif step == "link not renamed":
            (folder / ".tmp-current-1").symlink_to("1")
        elif step == "before the swap":
            shutil.copytree(folder / str(self.live), folder / str(number))
            (folder / str(number) / catalog.PENDING).touch()
        else:
            path = folder / "history.jsonl"
            path.write_text(path.read_text()[:-3])

    @rule()
    def reconcile(self):
        reconcile(self.root)
        numbers = catalog.numbers(self.root)
        recorded = {entry["to"] for entry in history(self.root)}
        assert set(numbers) <= recorded
        assert not list((self.root / "releases").glob(".tmp-*"))
        if self.live is not None:
            assert history(self.root)[-1]["to"] == self.live

    @invariant()
    def the_live_release_is_whole(self):
        release = catalog.current(self.root)
        assert (release.number if release else None) == self.live
        if release is not None:
            expected = self.parts[self.content[release.number]]
            assert {n: p.digest for n, p in release.parts.items()} == {
                n: r.digest for n, r in expected.items()
            }


Life.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLife = Life.TestCase
