"""Dataset distillation as pushforward optimal quantization (arXiv:2501.07681): the algorithm, without any service."""
