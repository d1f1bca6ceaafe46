"""A release in the vector store that a company runs: PostgreSQL, Qdrant, Milvus, LanceDB."""
