"""Models, fitted to the data, and as one flat vector."""
