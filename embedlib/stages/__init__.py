"""The DAG's table as code: one module a stage, each reading artifacts and writing one.

A stage is where configuration meets the library: it opens its inputs, calls library functions
with plain arguments, saves, and returns a summary. It knows nothing of the stages around it,
of Prefect, or of MLflow.
"""
