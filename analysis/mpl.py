"""Matplotlib, for figures that look the same whatever its user has set up. Nothing else here imports it.

``MPLBACKEND`` may name what is not installed: Jupyter and Colab set it for every command that a cell calls, and
matplotlib then refuses to be imported. Figures that go into files need no backend, so it is left aside for the import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

_WANTED = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib as _matplotlib
finally:
    if _WANTED is not None:
        os.environ["MPLBACKEND"] = _WANTED
if _WANTED:
    with suppress(ValueError):  # it is for whoever shows figures in windows or cells; a wrong one is theirs to hear of
        _matplotlib.rcParams["backend"] = _WANTED

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.axis import Axis  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.collections import QuadMesh  # noqa: E402
from matplotlib.colors import LogNorm, PowerNorm  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter  # noqa: E402

__all__ = [
    "Axes",
    "Axis",
    "Figure",
    "FigureCanvasAgg",
    "FuncFormatter",
    "LogNorm",
    "MaxNLocator",
    "NullFormatter",
    "PercentFormatter",
    "PowerNorm",
    "QuadMesh",
    "own_style",
]

_STYLE = Lock()


@contextmanager
def own_style() -> Iterator[None]:
    """Inside, matplotlib's own defaults hold, and neither its user's file of settings nor a style that is in use.

    But for two: names in an SVG are not drawn at random, and letters of a PDF are TrueType, as publishers ask for.
    """
    with _STYLE, _matplotlib.rc_context():
        _matplotlib.rcdefaults()
        _matplotlib.rcParams.update({"svg.hashsalt": "fedchunk", "pdf.fonttype": 42})
        yield
