"""Documents: sources, cleaning, chunking, profile, labels and leakage-safe splits."""
