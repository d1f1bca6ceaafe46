"""The end of a training: its weights averaged with those it started from (WiSE-FT, arXiv 2109.01903)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedlib.evaluation.dev import DevSet
from embedlib.models.local import LocalEncoder
from embedlib.training.loop import dev_score
from embedlib.training.merge import choose_share, interpolate
from embedlib.training.options import emit

if TYPE_CHECKING:
    from torch import Tensor

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
