"""What is sent, what a receiver makes of it, and what stays behind: a rule for each ``chunk_reconstruction``."""
