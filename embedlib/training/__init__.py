"""Fine-tuning, adaptation, distillation and merging, in a process of their own."""
