"""The live release over HTTP: search, embeddings, reranking, and what people think of the answers."""
