"""Weight interpolation between a model and its fine-tuned self (WiSE-FT, arXiv 2109.01903;
LM-Cocktail, arXiv 2311.13534): much of the gain, little of the forgetting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from embedlib.errors import ModelError
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.lineage import Provenance
from embedlib.models.local import LocalEncoder, load_encoder
from embedlib.training.folder import save_model
from embedlib.training.loop import dev_score
from embedlib.training.options import emit

if TYPE_CHECKING:
    from torch import Tensor


def interpolate(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share)·base + share·tuned for every floating-point tensor; others are the tuned model's.

    Args:
        base: The base model's tensors by name.
        tuned: The tuned model's, of the same names and shapes.
        share: Share of the tuned model; 0 is the base, 1 the tuned model.

    Raises:
        ModelError: Names or shapes differ; the first difference is named.
    """
    for name in sorted(base.keys() | tuned.keys()):
        left, right = (list(t[name].shape) if name in t else "no such tensor" for t in (base, tuned))
        if left != right:
            raise ModelError(
                "these models cannot be interpolated",
                where=f"tensor {name}",
                expected=f"base: {left}",
                found=f"tuned: {right}",
                remedy="merge a model only with the one it was fine-tuned from",
            )
    return {
        name: (base[name] + share * (value - base[name])) if value.is_floating_point() else value
        for name, value in tuned.items()
    }


def merged_encoder(base_folder: Path, tuned_folder: Path, share: float) -> LocalEncoder:
    """The tuned model with interpolated weights, in memory.

    Raises:
        ModelError: A model does not load, or the two are not of one architecture.
    """
    base, tuned = load_encoder(base_folder, device="cpu"), load_encoder(tuned_folder, device="cpu")
    weights = interpolate(base.module.state_dict(), tuned.module.state_dict(), share)
    tuned.module.load_state_dict(weights)
    return tuned


def merge_weights(
    base_folder: Path, tuned_folder: Path, share: float, out: Path, digests: Mapping[str, str] | None = None
) -> None:
    """Write the model that lies ``share`` of the way from the base to the tuned model.

    Args:
        base_folder: The model that was fine-tuned.
        tuned_folder: What came of it, adapters merged in.
        share: Share of the tuned model, 0 to 1.
        out: Folder to fill.
        digests: ``base_digest`` and ``tuned_digest`` of the two models.

    Raises:
        ModelError: The two are not of one architecture.
    """
    encoder = merged_encoder(base_folder, tuned_folder, share)
    made = {"made": "merged model", "share": share, **(digests or {})}
    save_model(encoder, out, Provenance.model_validate(made))


def choose_share(figures: Mapping[float, float], *, tolerance: float) -> float:
    """The smallest share whose dev figure is within ``tolerance`` of the best: least is forgotten.

    Args:
        figures: Dev figure of each share.
        tolerance: How much of the dev figure may be given up.

    >>> choose_share({0.25: 0.50, 0.5: 0.55, 0.75: 0.56}, tolerance=0.02)
    0.5
    """
    best = max(figures.values())
    return min(share for share, value in figures.items() if value >= best - tolerance)


#: Shares of the trained weights that people's dev queries choose from.
SHARES = (0.25, 0.5, 0.75, 1.0)
#: The share without such queries, trained on pairs that nobody judged: over four collections a half kept most
#: of what the model alone gained and cost its fused ranking least where it lost. Labels are trusted whole.
UNJUDGED, JUDGED = 0.5, 1.0


def average_with_start(
    encoder: LocalEncoder,
    start: Mapping[str, Tensor],
    share: float | None,
    dev: DevSet | None,
    *,
    labelled: bool,
    bf16: bool,
) -> tuple[float, dict[float, float]]:
    """Move a trained model's weights some way back to those it started from, in place.

    Args:
        encoder: The trained model.
        start: The weights it started from.
        share: Share of the trained weights; None: the best on dev.
        dev: People's dev queries, if there are any.
        labelled: Most of what it was trained on was judged by people.
        bf16: Dev figures under bf16 autocast.

    Returns:
        The share taken, and the dev figure of every share that was tried.
    """
    module = encoder.module
    if share == 1.0:
        return share, {}
    trained = {name: value.detach().clone() for name, value in module.state_dict().items()}
    figures: dict[float, float] = {}
    if share is None and dev is not None:
        for tried in SHARES:
            module.load_state_dict(interpolate(start, trained, tried))
            figures[tried] = dev_score(dev, encoder, bf16=bf16)[0]
            emit("share", share=tried, value=figures[tried])
    if share is None:
        share = choose_share(figures, tolerance=0.0) if figures else JUDGED if labelled else UNJUDGED
    module.load_state_dict(interpolate(start, trained, share))
    return share, figures
