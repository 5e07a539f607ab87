"""What the commands say and work out, apart from their wiring in :mod:`fedchunk.orchestrator.cli`."""
