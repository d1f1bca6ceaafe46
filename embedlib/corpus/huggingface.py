"""Documents from Hugging Face data sets, by name or from a folder that ``save_to_disk`` wrote."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedlib.corpus.records import FieldNames, Item, to_record
from embedlib.corpus.textfiles import require_folder
from embedlib.errors import DataError


def open_dataset(
    *,
    name: str = "",
    path: Path | None = None,
    config_name: str = "",
    split: str = "train",
    revision: str = "main",
) -> Any:
    """A data set whose rows stay on disk (memory-mapped Arrow).

    Give its ``name`` on the hub, or the ``path`` of a folder that ``save_to_disk`` wrote.

    Raises:
        DataError: It cannot be had, or has no such split.
    """
    import datasets

    where = str(path or name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            if path is not None:
                found = datasets.load_from_disk(str(require_folder(path)))
            else:
                found = datasets.load_dataset(name, config_name or None, split=split, revision=revision)
    except (OSError, ValueError, ConnectionError, RuntimeError) as error:
        raise DataError(
            "the data set cannot be loaded",
            where=where,
            found=" ".join(str(error).split())[:500],
            remedy="check name, configuration, split and network; or give the path of a saved copy",
        ) from error
    if isinstance(found, datasets.DatasetDict):
        if split not in found:
            raise DataError(
                f"no split {split!r}", where=where, found=", ".join(found), remedy="set ingest.source.split"
            )
        return found[split]
    return found


def read_huggingface(dataset: Any, names: FieldNames, origin: str) -> Iterator[Item]:
    """Documents of a data set, read in blocks.

    ``origin`` is what messages call the data set.

    Raises:
        DataError: A column is missing.
    """
    mapped = names.resolve(dataset.column_names, origin)
    number = 0
    for block in dataset.select_columns(mapped.columns).iter(batch_size=1000):
        for values in zip(*block.values(), strict=True):
            number += 1
            yield to_record(dict(zip(block, values, strict=True)), mapped, f"{origin}:row {number}")
