"""Thin Prefect tasks, one a stage."""
