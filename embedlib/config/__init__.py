"""The configuration: one YAML file, a section a stage, read into frozen pydantic models."""
