"""Encoders: local, by pooling, by API; the model catalog and selection."""
