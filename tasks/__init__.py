"""Thin Prefect tasks, one a stage."""

import logging

if logging.getLogger("embedlib").level == logging.NOTSET:
    # Prefect hands an extra logger its handlers but no level: progress and plans would be lost.
    logging.getLogger("embedlib").setLevel(logging.INFO)
