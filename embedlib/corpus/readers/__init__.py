"""Files as people keep them, read as documents: one module a format, bounded and in a process of its own."""
