"""Vectors, FAISS indexes, releases and search."""
