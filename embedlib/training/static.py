"""A static student: one vector a token, averaged over a text; no transformer runs when it encodes.

After model2vec (Tulkens and van Dongen, 2024, https://github.com/MinishLab/model2vec): the teacher
encodes every token of its vocabulary by itself, and frequent tokens are made to count little by
smooth inverse frequency (Arora, Liang and Ma, ICLR 2017),

    w(t) = a / (a + p(t)),    p(t) the token's share of the corpus.

The vectors keep the teacher's components, without a rotation, so that a teacher trained for shorter
vectors (Matryoshka) has a student that can be shortened as well.

Letters: v tokens in the vocabulary, d the teacher's dimension.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats
from embedlib.errors import ModelError
from embedlib.models.local import LocalEncoder
from embedlib.models.prompts import Prompts

#: ``a`` of the weights: a token that makes up a thousandth of the corpus counts half.
SMOOTHING = 1e-3
#: Texts tokenized at once.
WINDOW = 4096


def static_student(teacher: LocalEncoder, texts: Iterable[str]) -> LocalEncoder:
    """A static model that starts from a teacher's token vectors.

    Args:
        teacher: A local model with a fast tokenizer; it is not changed.
        texts: Texts whose token frequencies weigh the tokens.

    Raises:
        ModelError: The teacher has no fast tokenizer.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    tokenizer = _tokenizer(teacher)
    counts = token_counts(tokenizer, texts)
    table = token_vectors(teacher, tokenizer) * inverse_frequency(counts)[:, None]
    static = StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))
    module = SentenceTransformer(modules=[static, Normalize()], device="cpu")
    return LocalEncoder(module, name=f"static {teacher.name}", prompts=Prompts("", ""))


def inverse_frequency(counts: npt.NDArray[np.int64], smoothing: float = SMOOTHING) -> Floats:
    """w(t) = a / (a + p(t)) for counts [v]; a token that never occurs counts 1, float32 [v]."""
    share = counts / max(int(counts.sum()), 1)
    weights: Floats = (smoothing / (smoothing + share)).astype(np.float32)
    return weights


def token_counts(tokenizer: Any, texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """How often each token occurs in texts, int64 [v]."""
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    window: list[str] = []

    def count() -> None:
        for encoding in tokenizer.encode_batch(window, add_special_tokens=False):
            np.add.at(counts, encoding.ids, 1)
        window.clear()

    for text in texts:
        window.append(text)
        if len(window) == WINDOW:
            count()
    count()
    return counts


def token_vectors(teacher: LocalEncoder, tokenizer: Any) -> Floats:
    """The teacher's vector of every token between its special tokens, float32 [v, d]."""
    names = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    special = set(getattr(teacher.tokenizer, "all_special_tokens", ()))
    texts = [name if name and name not in special else teacher.tokenizer.unk_token or "?" for name in names]
    return teacher.encode([text.removeprefix("##").lstrip("Ġ▁") or text for text in texts])


def _tokenizer(teacher: LocalEncoder) -> Any:
    """A copy of the teacher's fast tokenizer without cutting and padding."""
    from tokenizers import Tokenizer

    fast = getattr(teacher.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise ModelError(
            "a static student needs a teacher with a fast tokenizer",
            where=teacher.name,
            found=type(teacher.tokenizer).__name__,
            remedy="set distil.objective to balanced, or name another student",
        )
    copy = Tokenizer.from_str(fast.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
