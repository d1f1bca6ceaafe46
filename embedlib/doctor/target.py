"""Whether the vector store that is published into answers with the live release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from embedlib.config.live import live_values
from embedlib.config.root import load_config
from embedlib.doctor.findings import Finding, failure, fine, warning
from embedlib.errors import EmbedlibError, ReleaseError
from embedlib.index.catalog import Release

#: Longest wait for the store's answer.
WAIT_S = 10.0


def check_target(root: Path, release: Release) -> Iterator[Finding]:
    """Compare the store's live collection with the live release, where one is configured."""
    target = load_config(base=live_values(root, required=False)).publish.target
    if target is None:
        return
    from embedlib.stages.push import open_target
    from embedlib.stores.searcher import live_collection

    mend = f"embedlib push-index --workspace {root}"
    evidence = {"store": target.type, "collection": target.collection, "live release": release.number}
    try:
        with open_target(target, WAIT_S) as store:
            _, info = live_collection(store)
    except ReleaseError:
        yield warning("vector store", "nothing was published into it", mend, **evidence)
        return
    except EmbedlibError as error:
        yield failure("vector store", "it cannot be asked", mend, **evidence, error=str(error))
        return
    evidence |= {"its release": info.release}
    same = (info.model_digest, info.corpus_digest) == (release.model.digest, release.parts["corpus"].digest)
    if same:
        yield fine("vector store", "it answers with the live release", **evidence)
    else:
        yield warning("vector store", "it answers with another release", mend, **evidence)
