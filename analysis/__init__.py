"""Reads recorded runs. No ray, no torch: opens on any laptop."""
