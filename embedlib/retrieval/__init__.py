"""First-stage retrieval shared by mining, evaluation and search: BM25, exact dense, fusion, re-ranking."""
