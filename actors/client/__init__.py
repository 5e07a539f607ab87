"""The client actors as plain classes."""
