"""embedlib: the embedding life cycle, from raw documents to a proven model and a live index."""

__version__ = "0.1.0"
