"""Ways to train the clients of a group: one by one, stacked, dense."""
