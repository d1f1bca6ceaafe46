"""The base of every configuration section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from embedlib.redact import holds_secret

#: ``Field(..., json_schema_extra=OPERATIONAL)`` marks an option that changes how a stage is run
#: (processes, time limits) and never its result; it is left out of the fingerprint.
OPERATIONAL: dict[str, Any] = {"operational": True}

#: Name of an environment variable; capitals only, so that a pasted key is not taken for one.
ENV_NAME = r"^[A-Z_][A-Z0-9_]*$"
#: What a shell would replace.
VARIABLE = re.compile(r"\$(\w|\{)|^%\w+%")


TimeLimit = Annotated[
    float | None,
    Field(gt=0, description="Longest run in seconds; null: no limit.", json_schema_extra=OPERATIONAL),
]
SilenceLimit = Annotated[
    float,
    Field(
        gt=0,
        description="Longest silence of the training process, in seconds.",
        json_schema_extra=OPERATIONAL,
    ),
]
TrainingPrecision = Annotated[
    Literal["auto", "fp32", "bf16"], Field(description="bf16: bf16 autocast over fp32 weights.")
]


def _plain_path(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    if VARIABLE.search(str(value)) and not value.exists():
        raise PydanticCustomError(
            "variable", "variables are not replaced here: write the path out, with ~ for the home folder"
        )
    try:
        return value.expanduser()
    except RuntimeError:  # no such user: the path is told as missing
        return value


class Section(BaseModel):
    """A frozen section: unknown keys are refused, every field has bounds and a description."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @field_validator("*")
    @classmethod
    def _no_secrets(cls, value: Any) -> Any:
        """The configuration is shown in reports, in Prefect and in MLflow: a secret is refused."""
        for item in value if isinstance(value, tuple) else (value,):
            text = str(item).replace(":/", "://", 1) if isinstance(item, Path) else item
            if isinstance(text, str) and holds_secret(text):
                raise PydanticCustomError(
                    "secret", "an address with a secret, which belongs in the environment"
                )
        return value

    @field_validator("*")
    @classmethod
    def _plain_paths(cls, value: Any) -> Any:
        """``~`` is the home folder; a variable is refused rather than taken for the name of a folder."""
        return tuple(map(_plain_path, value)) if type(value) is tuple else _plain_path(value)

    def identity(self) -> dict[str, Any]:
        """The options that can change a stage's result, as JSON values."""
        values = self.model_dump(mode="json")
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict) and extra.get("operational"):
                values.pop(name)
            elif isinstance(value := getattr(self, name), Section):
                values[name] = value.identity()
        return values


__all__ = ["ENV_NAME", "OPERATIONAL", "Field", "Section", "SilenceLimit", "TimeLimit", "TrainingPrecision"]
