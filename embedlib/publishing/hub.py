"""A model folder on a hub: Hugging Face's, or any that speaks its protocol (``HF_ENDPOINT``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from embedlib.errors import ServiceError, UserError

TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name


def to_push(folder: Path) -> list[tuple[str, int]]:
    """(name, bytes) of each file that would be pushed, by name."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [(p.relative_to(folder).as_posix(), p.stat().st_size) for p in files]


def push(folder: Path, name: str, *, private: bool = True, message: str = "") -> str:
    """Make the repository where it is missing, and put the folder's files into it in one commit.

    ``name`` is ``owner/name`` on the hub; ``private`` applies to a repository that is created now.

    Returns:
        The repository's address.

    Raises:
        UserError: No token in the environment.
        ServiceError: The hub refused, or does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    token = os.environ.get(TOKEN)
    if not token:
        raise UserError(
            "no token for the hub",
            expected=f"{TOKEN} in the environment",
            remedy=f"export {TOKEN}=… (a token that may write), or look with --dry-run",
        )
    transport = cast(
        type[Exception], HfHubHTTPError.__bases__[0]
    )  # the error of its HTTP library, which is not always httpx
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    try:
        address = str(api.create_repo(name, private=private, exist_ok=True))
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message or f"{name} by embedlib")
    except HFValidationError as error:
        raise UserError(f"{name!r} is no name on a hub", expected="owner/name", found=str(error)) from error
    except OfflineModeIsEnabled as error:
        raise ServiceError(
            "the hub may not be asked", found="HF_HUB_OFFLINE is set", remedy="unset it for this command"
        ) from error
    except (OSError, transport) as error:
        what = str(error).strip().splitlines()
        raise ServiceError(
            "the hub refused" if isinstance(error, HfHubHTTPError) else "the hub does not answer",
            where=api.endpoint,
            found=what[0] if what else type(error).__name__,
            remedy="check the name, the token's rights and the network",
        ) from error
    return address
