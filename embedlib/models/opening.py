"""One way to any encoder: local models by name or folder, API models by their prefix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from embedlib.errors import ModelError
from embedlib.json_file import JsonFile
from embedlib.models.api import ApiEncoder, load_api_encoder
from embedlib.models.api_protocols import is_api_spec
from embedlib.models.encoder import Encoder
from embedlib.models.options import Precision

if TYPE_CHECKING:
    from embedlib.models.local import LocalEncoder


class ApiModel(JsonFile):
    """What a model's folder holds instead of weights where the model is behind an API."""

    FILE: ClassVar[str] = "api.json"
    name: str
    dimension: int | None
    max_length: int | None


def open_encoder(
    name: str,
    *,
    dimension: int | None = None,
    max_length: int | None = None,
    ledger: Path | None = None,
    **local: Any,
) -> Encoder:
    """An encoder by name.

    Args:
        name: ``openai:…``, ``cohere:…``, ``voyage:…``, ``http(s)://…#…``, or what ``load_encoder`` takes.
        dimension: Components per vector, below the full number (Matryoshka).
        max_length: Maximum tokens per text.
        ledger: Where an API's vectors are kept, so that none is bought twice.
        local: Further options of ``load_encoder``; an API has none of them.

    Raises:
        ModelError: There is no such model, or an option does not fit it.
        ConfigError: An API's key is not set.

    Examples:
        >>> open_encoder("all-MiniLM-L6-v2").encode_queries(["one", "two"]).shape
        (2, 384)
    """
    if not is_api_spec(name):
        from embedlib.models.local import load_encoder

        return load_encoder(name, dimension=dimension, max_length=max_length, **local)
    if local:
        raise ModelError(
            f"{', '.join(sorted(local))}: not an option of a model behind an API",
            where=name,
            remedy="leave it out, or use a local model",
        )
    return load_api_encoder(name, dimension=dimension, max_length=max_length, ledger=ledger)


def open_folder(folder: Path, precision: Precision | Literal["auto"]) -> LocalEncoder | ApiEncoder:
    """The encoder of a model artifact's folder: its weights, or the API that its ``api.json`` names.

    Raises:
        ModelError: The weights cannot be loaded.
        ConfigError: The API's key is not set.
    """
    if (folder / ApiModel.FILE).is_file():
        return load_api_encoder(**ApiModel.read(folder).model_dump())
    from embedlib.models.local import load_encoder

    return load_encoder(folder, dtype=precision)
