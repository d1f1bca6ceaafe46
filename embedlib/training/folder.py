"""A trained model as a folder: the same bytes for the same training."""

from __future__ import annotations

from pathlib import Path

import torch

from embedlib.evaluation.lineage import Provenance
from embedlib.models.local import LocalEncoder

CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, feature-extraction, embedlib]
---
# {title}

A sentence-transformers model made by embedlib; `provenance.json` beside this file says from what.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/of/this/folder")
```
"""

RERANKER_CARD = """---
library_name: sentence-transformers
pipeline_tag: text-ranking
tags: [sentence-transformers, cross-encoder, reranker, embedlib]
---
# {title}

A cross-encoder made by embedlib; `provenance.json` beside this file says from what.

```python
from sentence_transformers import CrossEncoder

scores = CrossEncoder("path/of/this/folder").predict([("a query", "a document")])
```
"""


def save_model(encoder: LocalEncoder, out: Path, provenance: Provenance) -> None:
    """Save fp32 weights in sentence-transformers layout with a card and ``provenance.json``.

    Args:
        encoder: The model with its prompts; its weights are cast to fp32.
        out: Folder to fill; made if it is not there.
        provenance: What the model was made from.
    """
    encoder.module.to(torch.float32)
    encoder.save(out)
    describe_model(out, provenance)


def describe_model(out: Path, provenance: Provenance, card: str = CARD) -> None:
    """Write the card and ``provenance.json`` into a model folder."""
    (out / "README.md").write_text(card.format(title=provenance.made), encoding="utf-8")
    provenance.write(out)
