"""A run's folder: tables that survive a killed run, weights, settings and summary."""
