"""Training pairs: structural, generated, filtered and mixed."""
