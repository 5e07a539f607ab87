"""Models, data and training. Knows torch; knows nothing of chunks, clients' messages or processes."""
