"""What every task of one flow run shares."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from embedlib.store import Store
from embedlib.tracking.tracker import Tracker


class RunContext(BaseModel):
    """Small and serialisable: it travels with every task, to other machines too.

    Args:
        workspace: Absolute path of the workspace.
        key: The flow run's id; tracking continues under it when the run is tried again.
        seed: Seed of the run.
        tracking_uri: MLflow tracking URI, None = the workspace's own.
        experiment: MLflow experiment.
        retries: How often a stage that failed is tried again.
        limit: Global concurrency limit that stages on the accelerator hold.
    """

    model_config = ConfigDict(frozen=True)
    workspace: Path
    key: str
    seed: int = 0
    tracking_uri: str | None = None
    experiment: str = "embedlib"
    retries: int = 1
    limit: str | None = None

    @property
    def store(self) -> Store:
        """The workspace's artifacts."""
        return Store(self.workspace)

    @property
    def tracker(self) -> Tracker:
        """The MLflow run of this flow run."""
        return Tracker(self.workspace, self.key, uri=self.tracking_uri, experiment=self.experiment)
