"""Figures that go into files do not depend on what their user has set up for windows and cells."""

import os
import subprocess
import sys

import pytest

from fedchunk.analysis import load_run
from fedchunk.analysis.report import write_report

INLINE = "module://matplotlib_inline.backend_inline"
HIDE_INLINE = """
import importlib.metadata as metadata
found = metadata.entry_points
def entry_points(**select):
    return () if select.get("group") == "matplotlib.backend" else found(**select)
metadata.entry_points = entry_points
"""


def in_a_fresh_process(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("backend", "before"),
    [(INLINE, ""), (INLINE, HIDE_INLINE), ("no_such_backend", "")],
    ids=["inline", "inline that is not installed", "unknown"],
)
def test_the_report_is_written_whatever_the_backend(write_run, small, tmp_path, backend, before):
    small.config = {"record_chunks": False}  # few figures are enough
    code = f"""{before}
from fedchunk.analysis import load_run
run = load_run({str(write_run(small))!r})
print(len(run.report({str(tmp_path / "report")!r}).figures))
"""
    assert in_a_fresh_process(code, MPLBACKEND=backend) == "3"
    assert (tmp_path / "report" / "figures" / "bytes.png").stat().st_size > 1000


def test_the_users_backend_stays_theirs():
    code = "import os, fedchunk.analysis.figures, matplotlib; print(os.environ['MPLBACKEND'], matplotlib.get_backend())"
    assert in_a_fresh_process(code, MPLBACKEND="svg") == "svg svg"
    code = "import matplotlib; matplotlib.use('pdf'); import fedchunk.analysis.figures; print(matplotlib.get_backend())"
    assert in_a_fresh_process(code, MPLBACKEND="svg") == "pdf"


def test_figures_have_the_agg_canvas(write_run, small):
    drawn = load_run(write_run(small)).figure("bytes")
    assert type(drawn.canvas).__module__ == "matplotlib.backends.backend_agg"
    assert drawn._repr_png_().startswith(b"\x89PNG")


def test_the_users_style_changes_no_figure_and_is_kept(write_run, small, tmp_path):
    import matplotlib

    small.config = {"record_chunks": False}
    run = load_run(write_run(small))
    plain = write_report(run, tmp_path / "plain")
    style = {"text.usetex": True, "axes.facecolor": "black", "savefig.dpi": 7, "lines.linewidth": 9.0}
    with matplotlib.rc_context(style):
        styled = write_report(run, tmp_path / "styled")
        assert {name: matplotlib.rcParams[name] for name in style} == style
    for one, other in zip(plain.figures, styled.figures, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_matplotlib_is_imported_in_one_place():
    from pathlib import Path

    import fedchunk.analysis

    folder = Path(fedchunk.analysis.__file__).parent
    importers = {
        file.name for file in folder.glob("*.py") if "\nfrom matplotlib" in file.read_text() or "\nimport matplotlib" in
        file.read_text()
    }  # fmt: skip
    assert importers == {"mpl.py"}
