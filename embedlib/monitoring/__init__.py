"""The live release watched: canaries, drift, labels, health."""
