"""What a stage is, and how one is run through the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.config.base import Section
from embedlib.errors import DataError
from embedlib.fingerprint import code_digest
from embedlib.progress import Curve, LogProgress, Progress, no_curve
from embedlib.store import Built, Recipe, Store, Work

Summary = Mapping[str, Any]
#: A stage's options, and the artifacts that it reads: keyword arguments of its ``run``.
Options = TypeVar("Options", bound=Section)
Inputs = ParamSpec("Inputs")


@dataclass(frozen=True)
class Job:
    """What a running stage gets besides its options and inputs.

    Args:
        out: Folder that becomes the artifact.
        scratch: Folder for unfinished work; survives a crash, gone when the stage succeeds.
        seed: The run's seed.
        progress: Progress callback of long work.
        store: The workspace, for stages that look at earlier artifacts (incremental encoding).
        curve: Callback for the points of a training's curves.
    """

    out: Path
    scratch: Path
    seed: int
    store: Store
    progress: Progress
    curve: Curve = no_curve

    def generator(self, stage: str) -> np.random.Generator:
        """Randomness of this stage: seeded from (seed, stage) alone."""
        return np.random.default_rng([self.seed, *stage.encode()])


@dataclass(frozen=True)
class Stage(Generic[Options, Inputs]):
    """One row of the design's table.

    Args:
        name: Stage name; the module ``embedlib.stages.<name>`` holds its code.
        kind: Kind of the artifact it writes.
        run: ``run(job, config, **inputs) -> summary``.
        external: Digests of what the stage reads outside the store (source files, models by
            name), computed before the stage runs; they are part of its fingerprint.
        accelerated: Whether it trains or encodes, and so holds the run's ``limit`` while it works.
    """

    name: str
    kind: str
    run: Callable[Concatenate[Job, Options, Inputs], Summary]
    external: Callable[[Any], Mapping[str, str]] = lambda config: {}
    accelerated: bool = False

    def recipe(self, config: Section, inputs: Mapping[str, ArtifactRef], seed: int) -> Recipe:
        """What would be built from these options and inputs."""
        options = {**config.identity(), "seed": seed, "external": dict(self.external(config))}
        return Recipe(self.name, self.kind, code_digest(self.run.__module__), options, inputs)


def run_stage(
    store: Store,
    stage: Stage[Any, ...],
    config: Section,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    curve: Curve = no_curve,
    during: Callable[[], AbstractContextManager[None]] = nullcontext,
    **inputs: ArtifactRef | None,
) -> Built:
    """Run a stage, or find its result; inputs that are None are left out.

    Args:
        store: The workspace.
        stage: What to run.
        config: Its options.
        seed: The run's seed.
        progress: Progress callback of long work; the log without.
        curve: Callback for the points of a training's curves.
        during: Makes the context that is held while the stage works, not while it looks for its result.
        **inputs: Its input artifacts by name.

    Returns:
        The artifact, and whether it was there already.

    Raises:
        DataError: What the stage reads outside the store changed while it was read.
    """
    given = {name: ref for name, ref in inputs.items() if ref is not None}
    recipe = stage.recipe(config, given, seed)

    def make(work: Work) -> Summary:
        job = Job(work.out, work.scratch, seed, store, progress or LogProgress(), curve)
        with during():
            summary = stage.run(job, config, **given)
        _require_unchanged(stage, config, recipe.config["external"])
        return summary

    return store.build(recipe, make)


def _require_unchanged(stage: Stage[Any, ...], config: Section, before: Mapping[str, str]) -> None:
    """Refuse a result of what was edited meanwhile: it would be found under the digest of what was before."""
    after = stage.external(config)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        raise DataError(
            f"{stage.name}: what it reads was changed while it was read",
            where=", ".join(changed),
            expected="files and tables that stay as they are until they are read",
            remedy="give the same command again when nothing writes there; nothing was stored",
        )
