"""MLflow's model registry: a version for each model, and ``champion`` for the one that is live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedlib.errors import ServiceError, type_and_line
from embedlib.redact import redact
from embedlib.tracking.local_store import default_uri, note_champion

#: Alias of the version that is live.
CHAMPION = "champion"


def failures() -> tuple[type[Exception], ...]:
    """What is raised where MLflow or its database does not answer, or refuses."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def is_refused(error: Exception) -> bool:
    """Whether the same record would be refused again: its run was deleted in MLflow, its model is gone."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status: int = error.get_http_status_code()
        return 400 <= status < 500 and status not in (401, 403, 408, 429)
    return not isinstance(error, failures())


def reason(error: Exception) -> str:
    """A failure in one line."""
    return redact(type_and_line(error)[:300])


def point_champion(root: Path, name: str, digest: str, *, uri: str | None = None) -> bool:
    """Point the registry's ``champion`` to the version that holds a model; False where none does.

    Raises:
        ServiceError: MLflow does not answer.
    """
    from mlflow import MlflowClient

    place = uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(root)
    if place == default_uri(root) and not (root / "mlflow.db").is_file():
        return False
    note_champion(root, digest)
    client = MlflowClient(place, registry_uri=place)
    try:
        version = registered_version(client, name, digest)
        if version is not None:
            client.set_registered_model_alias(name, CHAMPION, version)
    except failures() as error:
        raise ServiceError(
            "the registry's champion could not be moved",
            found=reason(error),
            remedy="give the same command again once MLflow answers",
        ) from error
    return version is not None


def register(client: Any, uri: str, run_id: str, path: str, name: str, digest: str, description: str) -> str:
    """Log a sentence-transformers folder to a run and register it; returns the new version.

    Raises:
        ServiceError: The folder is gone.
    """
    import mlflow
    import numpy as np
    from mlflow.models import infer_signature
    from sentence_transformers import SentenceTransformer

    if not Path(path).is_dir():
        raise ServiceError("the model to register is gone", where=path, remedy="keep the artifact")
    model = SentenceTransformer(path, device="cpu")
    vector = np.zeros((1, model.get_embedding_dimension() or 1), dtype=np.float32)
    with _global_uri(uri), mlflow.start_run(run_id=run_id):
        info = mlflow.sentence_transformers.log_model(
            model,
            name="model",
            pip_requirements=["sentence-transformers", "torch"],
            signature=infer_signature(["text"], vector),
        )
    return _new_version(client, name, info.model_id, digest, description)


def registered_version(client: Any, name: str, digest: str) -> str | None:
    """The version that already holds this model, so that nothing is registered twice."""
    quote = '"' if "'" in name else "'"  # a name has one kind at most: ``tracking.model_name``
    found = client.search_model_versions(f"name = {quote}{name}{quote}")
    return next((str(v.version) for v in found if v.tags.get("embedlib.digest") == digest), None)


def _new_version(client: Any, name: str, model_id: str, digest: str, description: str) -> str:
    """Register a logged model, without what MLflow's own function prints on the terminal meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model = client.get_logged_model(model_id)
    made = client.create_model_version(
        name,
        f"models:/{model_id}",
        model.source_run_id,
        {"embedlib.digest": digest},
        description=description or None,
        await_creation_for=0,
        model_id=model_id,
    )
    return str(made.version)


@contextmanager
def _global_uri(uri: str) -> Iterator[None]:
    """MLflow's own functions write to ``uri`` meanwhile.

    MLflow keeps the address in the environment too, where a later run of another workspace in this
    process would take it for the user's word.
    """
    import mlflow

    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
