"""Where actors run: on Ray, or in this process."""
