"""The base of every configuration section."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

#: ``Field(..., json_schema_extra=OPERATIONAL)`` marks an option that changes how a stage is run
#: (processes, time limits) and never its result; it is left out of the fingerprint.
OPERATIONAL: dict[str, Any] = {"operational": True}


class Section(BaseModel):
    """A frozen section: unknown keys are refused, every field has bounds and a description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

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


__all__ = ["OPERATIONAL", "Field", "Section"]
