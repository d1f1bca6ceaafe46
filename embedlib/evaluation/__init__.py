"""Measures, significance, guards, gate and report."""
