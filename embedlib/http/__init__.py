"""Asking remote providers: retries, rate limits, budgets, and never the same question twice."""
