"""Chunk mathematics: arrays in, arrays out. No files, clock, logging, settings objects or processes.

Letters in names are shapes: P values of the flat vector, C chunks, K chunks sent, N clients, S samples,
B floating-point buffers, I integer buffers. ``update_P`` is one value per parameter, ``scores_C`` one per chunk.
"""
