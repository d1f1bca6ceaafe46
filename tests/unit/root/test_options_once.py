"""An option that stands in the configuration and in a library class has one default."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from embedlib.config.base import Section

#: Classes that a section's options are handed to, and the fields that a stage makes definite first.
RESOLVED = {
    ("Mine", "MiningPlan"): {"teacher"},  # auto
    ("Mine", "Thresholds"): {"relative_margin"},  # auto
    ("Evaluate", "Options"): {"runs"},  # paths are read
    ("Train", "LossSpec"): {"batch_size"},  # null
    ("Train", "TrainingRecipe"): {"checkpoint_s"},  # a probe needs no checkpoint
}
#: They have their names in common by chance.
STRANGERS = {("Fields", "Record")}


def modules(prefix: str) -> Iterator[ModuleType]:
    package = importlib.import_module(prefix)
    for found in pkgutil.walk_packages(package.__path__, f"{prefix}."):
        if not found.name.endswith("__main__") and ".integrations" not in found.name:
            yield importlib.import_module(found.name)


def defaults(kind: type) -> dict[str, Any]:
    """Default of each field that has one, of a section, a dataclass or a named tuple."""
    if issubclass(kind, Section):
        fields = kind.model_fields.items()
        return {n: f.get_default(call_default_factory=True) for n, f in fields if not f.is_required()}
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        return {f.name: f.default for f in dataclasses.fields(kind) if f.default is not missing}
    return dict(getattr(kind, "_field_defaults", {}))


def drifted(section: type, library: type) -> dict[str, tuple[Any, Any]]:
    """Fields of one name and two defaults."""
    ours, theirs = defaults(section), defaults(library)
    known = RESOLVED.get((section.__name__, library.__name__), set())
    common = (ours.keys() & theirs.keys()) - known
    return {name: (ours[name], theirs[name]) for name in common if ours[name] != theirs[name]}


def handed_to(section: type, library: type) -> bool:
    """Whether half of the library class's defaults, and two at least, have names of the section's options."""
    theirs = defaults(library).keys()
    common = len(defaults(section).keys() & theirs)
    return common >= 2 and 2 * common >= len(theirs)


def classes(prefix: str) -> Iterator[type]:
    for module in modules(prefix):
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                yield kind


def test_defaults_of_options_are_the_library_s() -> None:
    sections = [kind for kind in classes("embedlib.config") if issubclass(kind, Section)]
    library = [kind for kind in classes("embedlib") if ".config." not in kind.__module__ and defaults(kind)]
    pairs = [
        (section, kind)
        for section in sections
        for kind in library
        if handed_to(section, kind) and (section.__name__, kind.__name__) not in STRANGERS
    ]
    assert {("Train", "TrainOptions"), ("Monitor", "MonitorThresholds")} <= {
        (section.__name__, kind.__name__) for section, kind in pairs
    }
    assert {f"{s.__name__} {k.__name__}": d for s, k in pairs if (d := drifted(s, k))} == {}


def test_a_second_default_is_found() -> None:
    class Options(Section):
        queries: int = 3
        documents: int = 2000

    @dataclasses.dataclass
    class Library:
        queries: int = 3
        documents: int = 3000

    assert drifted(Options, Library) == {"documents": (2000, 3000)}
