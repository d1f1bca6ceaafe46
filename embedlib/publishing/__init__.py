"""A release's model for others: its card, a hub, other runtimes."""
