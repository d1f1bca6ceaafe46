"""MLflow: runs, figures, files and the model registry. The only package that imports mlflow."""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
logging.getLogger("mlflow").setLevel(logging.WARNING)
# MLflow sets its own logger again when it is imported; this one tells of every new database
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
