"""Reads recorded runs. No ray, no torch: opens on any laptop.

Example:
    >>> from fedchunk.analysis import ChunkAnalyzer, load_run
    >>> run = load_run("runs/quickstart")  # doctest: +SKIP
    >>> print(ChunkAnalyzer().analyze_chunk_distribution(run.recorded_clients, run.config))  # doctest: +SKIP

Drawing (:mod:`fedchunk.analysis.figures`) and the report (:mod:`fedchunk.analysis.report`) import matplotlib and are
asked for by name.
"""

from fedchunk.analysis.chunk_analyzer import ChunkAnalyzer
from fedchunk.analysis.load import Run, load_run

__all__ = ["ChunkAnalyzer", "Run", "load_run"]
