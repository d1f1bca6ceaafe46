"""A small collection in BEIR's layout, and a release of it made by the real stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.config.live import to_remember
from embedlib.config.root import Config, load_config
from embedlib.errors import ReleaseError
from embedlib.index.catalog import Release
from embedlib.index.reconcile import reconcile
from embedlib.index.release_parts import live_parts
from embedlib.stages import decide, encode, evaluate, index, ingest, pin, sparse, split
from embedlib.stages.base import run_stage
from embedlib.stages.publish import publish_release, require_same_collection
from embedlib.store import Store

WORDS = (  # noqa: SIM905
    "river stone window garden engine market letter bridge winter candle mirror forest silver bottle "
    "hammer pocket ticket island butter carpet dragon feather guitar helmet jacket kettle ladder magnet "
    "needle orange pencil quarry ribbon saddle tunnel umbrella violin wagon yellow zipper anchor basket"
).split()


def write_beir(folder: Path, documents: int = 80, seed: int = 0) -> Path:
    """Documents of random words; each query is six of a document's words. Splits train, dev, test."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "qrels").mkdir(exist_ok=True)
    corpus, queries = [], []
    qrels: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for n in range(documents):
        words = rng.choice(WORDS, size=12, replace=False).tolist()
        corpus.append({"_id": f"d{n:03d}", "title": " ".join(words[:3]), "text": " ".join(words[3:])})
        queries.append({"_id": f"q{n:03d}", "text": " ".join(rng.choice(words, size=6, replace=False))})
        chosen = ("train", "train", "dev", "test")[n % 4]
        qrels[chosen].append(f"q{n:03d}\td{n:03d}\t1")
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, lines in qrels.items():
        (folder / "qrels" / f"{name}.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(line + "\n" for line in lines)
        )
    return folder


def word_tokenizer(words: Sequence[str]) -> Any:
    """A BERT tokenizer that knows these words and single letters: a hundredth of MiniLM's, and loaded as fast."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    names = [*special, *words, *letters, *(f"##{c}" for c in letters)]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def save_tiny_model(folder: Path, tokenizer: Any) -> Path:
    """A random two-layer BERT (dimension 32, 64 word pieces) as a sentence-transformers folder in ``folder``."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "backbone")
    tokenizer.save_pretrained(folder / "backbone")
    transformer = modules.Transformer(str(folder / "backbone"), max_seq_length=64)
    pooling = modules.Pooling(32, pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling, modules.Normalize()], device="cpu").save(
        str(folder / "model")
    )
    return folder / "model"


def save_bag_model(folder: Path, tiny_model: Path) -> Path:
    """A model that works without training: nearly a mean of random word vectors.

    Position and segment embeddings are zero, so that what documents share is their words.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu")
    embeddings = model[0].auto_model.embeddings
    with torch.no_grad():
        embeddings.position_embeddings.weight.zero_()
        embeddings.token_type_embeddings.weight.zero_()
    model.save(str(folder), create_model_card=False)
    return folder


def save_sparse_model(folder: Path, kind: str = "static") -> Path:
    """A sparse encoder of the tests' words: each word weighs what its number says, or a SPLADE at random."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling, Transformer
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = word_tokenizer(WORDS)
    size = len(tokenizer)
    if kind == "static":
        modules = [SparseStaticEmbedding(tokenizer, weight=torch.linspace(1, 2, size))]
    else:
        torch.manual_seed(0)
        small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        BertForMaskedLM(BertConfig(vocab_size=size, **small)).save_pretrained(folder / "mlm")
        tokenizer.save_pretrained(folder / "mlm")
        modules = [Transformer(str(folder / "mlm"), transformer_task="fill-mask"), SpladePooling()]
    SparseEncoder(modules=modules, device="cpu").save(str(folder / kind), create_model_card=False)
    return folder / kind


def small_config(workspace: Path, data: Path, model_folder: Path, **sections: Any) -> Config:
    """A configuration in which every stage takes a second."""
    values: dict[str, Any] = {
        "workspace": str(workspace),
        "ingest": {"source": {"type": "auto", "path": str(data)}},
        "model": {"name": str(model_folder)},
        "encode": {"precision": "fp32"},
    }
    for name, options in sections.items():
        values[name] = {**values.get(name, {}), **options} if isinstance(options, dict) else options
    return load_config(values=values)


def publish_base(config: Config) -> Release:
    """Ingest, encode, evaluate, index and publish the base model: a release without a training."""
    store = Store(config.workspace)
    corpus = run_stage(store, ingest.STAGE, config.ingest).ref
    queries = run_stage(store, split.STAGE, config.split, corpus=corpus).ref
    model = run_stage(store, pin.STAGE, config.model).ref
    vectors = run_stage(store, encode.STAGE, config.encode, corpus=corpus, model=model).ref
    both = {"base": model, "base_vectors": vectors, "candidate": model, "candidate_vectors": vectors}
    data = {"corpus": corpus, "queries": queries, "sparse": sparse_of(store, config, corpus)}
    evaluation = run_stage(store, evaluate.STAGE, config.evaluate, **data, **both).ref
    decision = run_stage(store, decide.STAGE, config.decide, evaluation=evaluation).ref
    parts = {"corpus": corpus, "vectors": vectors, "model": model}
    built = run_stage(store, index.STAGE, config.index, **{**data, **parts}).ref
    return publish_release(
        config.workspace,
        config.publish,
        {**parts, "index": built, "decision": decision},
        configuration=to_remember(config),
    )


def sparse_of(store: Store, config: Config, corpus: ArtifactRef) -> ArtifactRef | None:
    """The corpus by the configuration's sparse encoder, if it names one."""
    return run_stage(store, sparse.STAGE, config.sparse, corpus=corpus).ref if config.sparse.model else None


def refresh_release(config: Config) -> Release:
    """What the flow ``refresh`` does, as plain functions."""
    store = Store(config.workspace)
    reconcile(config.workspace)
    live = live_parts(store)
    if live is None:
        raise ReleaseError("there is no release to refresh")
    corpus = run_stage(store, ingest.STAGE, config.ingest).ref
    require_same_collection(config.publish, live["corpus"], corpus)
    model, queries = live["model"], live["queries"]
    vectors = run_stage(store, encode.STAGE, config.encode, corpus=corpus, model=model).ref
    parts = {"corpus": corpus, "vectors": vectors, "model": model}
    terms = sparse_of(store, config, corpus)
    built = run_stage(store, index.STAGE, config.index, **parts, queries=queries, sparse=terms).ref
    parts |= {"index": built, "decision": live["decision"]}
    return publish_release(config.workspace, config.publish, parts)
