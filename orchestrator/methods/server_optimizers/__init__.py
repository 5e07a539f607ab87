"""What the server makes of a round's aggregated change before it moves the model."""
