"""The languages that documents are in, where enough of a text is there to tell."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

#: Characters of a text that are looked at, the fewest that say anything, and how sure it must be.
LOOKED_AT, ENOUGH, SURE = 2000, 60, 0.9


def language_of(text: str) -> str | None:
    """ISO 639-1 code of a text's language; None when it is short or the guess is not sure.

    A naive Bayes over byte n-grams (Lui and Baldwin, *langid.py*, ACL 2012), in py3langid's form.

    >>> language_of("Die Dokumente liegen in einem Ordner und werden jede Nacht gelesen.")
    'de'
    >>> language_of("ls -la /tmp") is None
    True
    """
    if len(text) < ENOUGH:
        return None
    code, probability = _identifier().classify(text[:LOOKED_AT])
    return str(code) if probability >= SURE else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
