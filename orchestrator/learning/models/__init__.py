"""Models: each a file, a function that makes an ``nn.Module``."""
