"""Loading a model's files into a sentence-transformers module, and fitting its options."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlib.errors import ModelError, type_and_line
from embedlib.models.hardware import no_attention_plans
from embedlib.models.options import SENTENCE_TRANSFORMERS_NAMES, Precision, Strategy

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_loading = threading.Lock()


def missing_weights(info: dict[str, Any]) -> list[str]:
    """Weights that transformers made up, from its loading information: absent, or of another shape."""
    return sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})


@contextmanager
def made_up_weights() -> Iterator[list[str]]:
    """A list of the weights that models loaded in this block do not have in their files.

    transformers fills such weights at random and only logs it. What it knows is asked for here, in its own
    way, since sentence-transformers does not pass it on.
    """
    from transformers import PreTrainedModel

    names: list[str] = []
    original = PreTrainedModel.__dict__["from_pretrained"]

    def watched(cls: Any, *args: Any, **options: Any) -> Any:
        if options.get("output_loading_info"):
            return original.__func__(cls, *args, **options)
        model, info = original.__func__(cls, *args, **options, output_loading_info=True)
        names.extend(missing_weights(info))
        return model

    with _loading:
        PreTrainedModel.from_pretrained = classmethod(watched)
        try:
            yield names
        finally:
            PreTrainedModel.from_pretrained = original


def require_weights(missing: Iterable[str], where: str, remedy: str) -> None:
    """Refuse a model of which some weights would be random.

    Raises:
        ModelError: Naming the first of them.
    """
    names = list(missing)
    if names:
        raise ModelError(
            "the model's files lack weights that it computes with; they would be random",
            where=where,
            expected="every weight of its architecture",
            found=f"{len(names)} missing: {', '.join(names[:4])}" + (", …" if len(names) > 4 else ""),
            remedy=remedy,
        )


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Without transformers' bars on loading and saving, which are over in a moment."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def load_module(folder: Path, device: str, dtype: Precision, trust_remote_code: bool) -> SentenceTransformer:
    """A folder's model on a device in a precision.

    A pooler may be missing: no sentence-transformers module reads a text model's.

    Raises:
        ModelError: It does not load, for whatever reason, or some of its weights are missing.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    no_attention_plans()
    try:
        with no_progress_bars(), made_up_weights() as missing:
            module = SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=trust_remote_code,
                model_kwargs={"torch_dtype": torch.bfloat16 if dtype == "bf16" else torch.float32},
                local_files_only=not trust_remote_code,
            )
    except Exception as error:
        raise ModelError(
            "the model does not load",
            where=str(folder),
            expected="a sentence-transformers folder or a transformers checkpoint with its tokenizer",
            found=type_and_line(error),
            remedy="check that weights, config.json and tokenizer are complete"
            + ("" if trust_remote_code else "; models with their own code need trust_remote_code"),
        ) from error
    used = [name for name in missing if not name.startswith("pooler.")]
    require_weights(used, str(folder), "get the model's files again, or name another model")
    return module


def set_pooling(module: SentenceTransformer, strategy: Strategy | None, folder: Path) -> None:
    """Replace a model's pooling; without a strategy, warn when a plain checkpoint's is a guess.

    Raises:
        ModelError: The model has no pooling to replace.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling

    plain = not (folder / "modules.json").is_file()
    places = [i for i, part in enumerate(module) if isinstance(part, Pooling)]
    if strategy is None:
        if plain and places:
            logger.warning(
                "%s is a plain transformers checkpoint: using %s pooling; set `pooling` to choose",
                folder,
                module[places[0]].pooling_mode,
            )
        return
    if not places:
        raise ModelError(
            "pooling was set, but the model has no pooling module to replace",
            where=str(folder),
            found=", ".join(type(part).__name__ for part in module),
            remedy="leave pooling out",
        )
    size = module[places[0]].embedding_dimension
    module[places[0]] = Pooling(size, pooling_mode=SENTENCE_TRANSFORMERS_NAMES[strategy])


def set_max_length(module: SentenceTransformer, max_length: int | None) -> None:
    """Set how many tokens of a text the model sees; None leaves its own limit.

    Raises:
        ModelError: Fewer than 3 (two of them are special), or more than it has positions for.
    """
    if max_length is None:
        return
    limit = _positions(module)
    if max_length < 3 or (limit is not None and max_length > limit):
        raise ModelError(
            "the model cannot see that many tokens",
            expected=f"3 to {limit or 'any number'}",
            found=str(max_length),
            remedy="lower max_length and cut documents into chunks",
        )
    module.max_seq_length = max_length


def _positions(module: SentenceTransformer) -> int | None:
    config = module.config
    positions = getattr(config, "max_position_embeddings", None) if config is not None else None
    if positions and getattr(config, "model_type", "") in {"roberta", "xlm-roberta", "mpnet", "camembert"}:
        return int(positions) - 2  # positions start behind the padding index
    return int(positions) if positions else None


def effective_max_length(module: SentenceTransformer) -> int | None:
    """Tokens the model sees of a text: the declared limit, but no more than it has positions for."""
    declared = module.max_seq_length
    declared = int(declared) if declared is not None and declared < 10**9 else None
    limits = [limit for limit in (declared, _positions(module)) if limit is not None]
    return min(limits) if limits else None


def is_plain_text(module: SentenceTransformer) -> bool:
    """Whether texts go through one fast tokenizer and then through every module unconditionally."""
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    first = module[0]
    return (
        type(first) is Transformer
        and set(first.modality_config) == {"text"}
        and getattr(first.tokenizer, "is_fast", False)
        and not first.processing_kwargs
        and first.query_expansion is None
        and first.query_length is None
        and first.document_length is None
        and not first.can_flatten_inputs
        and all(part.include_prompt for part in module if isinstance(part, Pooling))
    )
