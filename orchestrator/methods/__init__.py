"""What clients send, how much of it, and what a receiver makes of it: the methods that settings name."""
