"""Mine hard negatives, and train with sentence-transformers' own trainer.

python examples/mine_negatives.py all-MiniLM-L6-v2 tuned-model
"""

from __future__ import annotations

import sys

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

import embedlib

PAIRS = [
    ("forgot my login", "To reset your password, open Settings, choose Security, and press Reset."),
    ("when do I get the bill", "Invoices are sent on the first day of each month."),
    (
        "laptop runs empty too fast",
        "The battery lasts about ten hours; dim the screen for more.",
    ),
    ("send a parcel back", "Orders can be returned within thirty days if they are unopened."),
    ("it hangs", "Press and hold the power button for five seconds to restart the device."),
]
OTHERS = [
    "To change your e-mail address, open Settings and choose Account.",
    "Receipts can be downloaded from the order page.",
    "The charger has a cable of two metres.",
    "Parcels are delivered between nine and five.",
    "The device is cleaned with a dry cloth.",
]


def main(model: str, folder: str, steps: int = 5) -> None:
    """Train for a few steps and save the model."""
    encoder = embedlib.open_encoder(model)
    rows = embedlib.mine(PAIRS, OTHERS, model=encoder, negatives=2)
    print(rows[0])
    module: SentenceTransformer = encoder.module  # type: ignore[attr-defined]
    options = SentenceTransformerTrainingArguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=4,
        learning_rate=2e-5,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    )
    trainer = SentenceTransformerTrainer(
        model=module,
        args=options,
        train_dataset=Dataset.from_list(rows),
        loss=MultipleNegativesRankingLoss(module),
    )
    trainer.train()
    module.save(folder)
    print(f"saved in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:3] if len(sys.argv) > 2 else ("all-MiniLM-L6-v2", "tuned-model"))
