"""The JSON files of artifacts: a model each says what is in it, and reads and writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from embedlib.integrity import damaged

Content = TypeVar("Content")
_STRICT = ConfigDict(extra="forbid")
#: A field that is not written where it is None.
IfGiven = Annotated[Content | None, Field(exclude_if=lambda value: value is None)]
#: Rows of an artifact as a person reads them.
SAMPLES = "samples.json"


class JsonPart(BaseModel):
    """A part of a JSON file; fields that are missing or not known are damage."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JsonFile(JsonPart):
    """A JSON file of an artifact."""

    FILE: ClassVar[str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file in an artifact's folder.

        Raises:
            CorruptArtifact: It is missing, no JSON, or has other fields; the first of them is named.
        """
        return _read(folder / cls.FILE, TypeAdapter(cls))

    def write(self, folder: Path) -> None:
        """Write the file into an artifact's folder."""
        write_json(folder / self.FILE, self)


def read_list(path: Path, kind: type[Content]) -> list[Content]:
    """A JSON list of ``kind``.

    Raises:
        CorruptArtifact: See ``JsonFile.read``.
    """
    return _read(path, TypeAdapter(list[kind], config=_STRICT))  # type: ignore[valid-type]


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people: indented, keys in the given order, no NaN; models and dataclasses too."""
    plain = to_jsonable_python(value)
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _read(path: Path, adapter: TypeAdapter[Content]) -> Content:
    try:
        return adapter.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise damaged(path, "a file of this version of embedlib", f"{place}: {first['msg']}") from error
    except OSError as error:
        raise damaged(path, "a file", str(error)) from error
