"""A recorded run, as Python users hold it: settings, summary, tables, weights and figures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.chunk_rounds import ChunkRound, rounds_of
from fedchunk.analysis.reading import read_finished, read_json, read_rounds, stream_finished
from fedchunk.analysis.recorded import RecordedClient, recorded_clients
from fedchunk.analysis.weights import copy_into, read_weights
from fedchunk.analysis.written import Report
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.records import SCHEMAS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fedchunk.analysis.chunk_study import ChunkStudy
    from fedchunk.analysis.chunk_summary import SummaryStudy
    from fedchunk.analysis.link_times import LinkTimes
    from fedchunk.orchestrator.core.links import Links

Module = TypeVar("Module")


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A recorded run. Everything in it is read-only, and a notebook shows it.

    Example:
        >>> run = load_run("runs/quickstart")  # doctest: +SKIP
        >>> run.rounds.select(["round", "accuracy", "uplink_bytes"]).to_pandas()  # doctest: +SKIP
        >>> run.figure("accuracy").savefig("accuracy.png")  # doctest: +SKIP
        >>> model = run.load_into(TinyNet((1, 8, 8), 10))  # doctest: +SKIP
    """

    path: Path
    config: Mapping[str, Any]
    """The resolved settings by their flat names; ``method`` and ``components`` say what these came to."""
    summary: Mapping[str, Any]
    """How the run ended; its status is ``running`` until then, and for ever if the run was killed."""
    tables: Mapping[str, pa.Table]
    """The tables by name, in the schemas of :mod:`fedchunk.orchestrator.core.records`; read when first asked for."""

    @property
    def status(self) -> str:
        """``finished``, ``failed`` or ``interrupted``; ``running`` where the run never said how it ended."""
        return str(self.summary.get("status", "running"))

    @property
    def num_chunks(self) -> int:
        """C, from the layout."""
        return int(self.layout.num_rows)

    @property
    def num_rounds(self) -> int:
        """R, the finished rounds."""
        return int(self.rounds.num_rows)

    @property
    def rounds(self) -> pa.Table:
        """A row for each finished round: accuracy, loss, bytes, times."""
        return self.tables["rounds"]

    @property
    def clients(self) -> pa.Table:
        """A row for each client and round."""
        return self.tables["clients"]

    @property
    def chunks(self) -> pa.Table:
        """A row for each chunk, client and round: its score, and whether it was sent."""
        return self.tables["chunks"]

    @property
    def chunk_summary(self) -> pa.Table:
        """A row for each chunk and round, with ``record_chunks: summary``."""
        return self.tables["chunk_summary"]

    @property
    def layout(self) -> pa.Table:
        """A row for each chunk: which values it covers."""
        return self.tables["layout"]

    @property
    def ledger(self) -> pa.Table:
        """A row for each part of a message: who sent it to whom, and its bytes."""
        return self.tables["ledger"]

    @property
    def metrics(self) -> pa.Table:
        """A row for each further metric and evaluated round, of the coordinator's model or of a client's."""
        return self.tables["metrics"]

    def chunk_rounds(self) -> Iterator[ChunkRound]:
        """The ``chunks`` table round by round, from the file, however large it is.

        Raises:
            RecordsError: a file cannot be read, or a client's round has not exactly one row for each chunk.
        """
        tables = stream_finished(self.path, "chunks", self.config, self.rounds)
        return rounds_of(tables, self.num_chunks, self.path)

    @cached_property
    def chunk_study(self) -> ChunkStudy | None:
        """What figures and report say of :meth:`chunk_rounds`, found in one pass; None where there are none."""
        from fedchunk.analysis.chunk_study import study_of

        clients = self.clients.filter(pc.equal(self.clients["status"], "ok"))
        return study_of(
            self.chunk_rounds(),
            self.rounds["round"].to_numpy(),
            np.unique(clients["client"].to_numpy()),
            self.layout["parameters"].to_pylist(),
            self.path,
        )

    @cached_property
    def summary_study(self) -> SummaryStudy | None:
        """The same of a run with ``record_chunks: summary``, as far as it goes; None of others."""
        from fedchunk.analysis.chunk_summary import SummaryStudy

        tables = stream_finished(self.path, "chunk_summary", self.config, self.rounds)
        names = self.layout["parameters"].to_pylist()
        study = SummaryStudy(self.rounds["round"].to_numpy(), names, tables, self.path)
        return study if study.has_rounds else None

    @cached_property
    def recorded_clients(self) -> tuple[RecordedClient, ...]:
        """Every client that took part, ascending, with all its rows in memory.

        Raises RecordsError where the tables do not fit each other.
        """
        tables = {"clients": self.clients, "chunks": self.chunks}
        return recorded_clients(tables, self.num_chunks, self.path)

    @cached_property
    def weights(self) -> dict[str, NDArray[np.generic]]:
        """The final model: an array for each parameter and buffer, by its name. Raises RecordsError if there is none.

        The arrays are read-only; ``.copy()`` gives one to write to.
        """
        return read_weights(self.path, self.status, self.num_rounds)

    def load_into(self, module: Module) -> Module:
        """Copies :attr:`weights` into a torch module that has the same parameters and buffers.

        Of those that stayed with the clients (``local_parameters``) there are none: they stay as the module has them.

        Args:
            module: an ``nn.Module``, on any device.

        Returns:
            The module.

        Raises:
            RecordsError: there are no weights, or the module's names and shapes are not theirs; the message lists what
                is missing, unexpected or of another shape, and the module is as it was.
        """
        copy_into(module, self.weights, self.path, self.config.get("local_parameters") or ())
        return module

    @cached_property
    def figure_data(self) -> dict[str, pa.Table]:
        """The numbers behind the figures, by name, as :func:`fedchunk.analysis.figure_data.figure_data` says."""
        from fedchunk.analysis.figure_data import figure_data

        return figure_data(self)

    def figure(self, name: str) -> Figure:
        """A figure of the report by its name, such as ``accuracy`` or ``bytes``.

        Raises:
            RecordsError: there is no such figure, or this run has no numbers for it; the message lists the names that
                it has, and why it lacks the others.
        """
        from fedchunk.analysis.figures import draw_one

        return draw_one(self, name)

    def link_times(self, links: Links) -> LinkTimes:
        """What the rounds would have taken over ``links``, which ``fedchunk.load_links`` gives."""
        from fedchunk.analysis.link_rounds import link_times

        return link_times(self, links)

    def report(
        self, output: str | Path | None = None, links: Links | None = None, figures: Sequence[str] = ()
    ) -> Report:
        """Writes the report: one HTML page, figures and CSV files.

        Args:
            output: where to write; None: into the run's folder.
            links: what the rounds would have taken over these is a section of the page.
            figures: what figures are written as beside PNG: ``svg``, ``pdf``.

        Raises:
            ValueError: there is no such format.
        """
        from fedchunk.analysis.report import write_report

        return write_report(self, output, self.link_times(links) if links else None, figures)

    def __str__(self) -> str:
        from fedchunk.analysis.shown import run_text

        return run_text(self)

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from fedchunk.analysis.shown import run_html

        return run_html(self)


class _Tables(Mapping[str, pa.Table]):
    """The tables of a run's folder by name; each is read once."""

    def __init__(self, folder: Path, config: Mapping[str, Any], rounds: pa.Table) -> None:
        self._folder, self._config, self._read = folder, config, {"rounds": rounds}

    def __getitem__(self, name: str) -> pa.Table:
        if name not in SCHEMAS:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = read_finished(self._folder, name, self._config, self._read["rounds"])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SCHEMAS)

    def __len__(self) -> int:
        return len(SCHEMAS)


SMALL_TABLES = tuple(name for name in SCHEMAS if name != "chunks")


def load_run(path: str | Path, tables: Collection[str] = SMALL_TABLES) -> Run:
    """The run that is recorded in the folder ``path``.

    Args:
        path: the run's folder.
        tables: the tables to read at once, beside ``rounds``; by default all but ``chunks``, which may be larger than
            the memory. One that is not among them is read when it is first asked for. One that was not recorded is
            empty.

    Raises:
        RecordsError: there is no such folder, it is not a run's, or a file in it cannot be read or has other columns
            than its schema. The message names the file and what to do.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise RecordsError(f"{folder}: there is no such folder; give the folder that `fedchunk run` named at its end")
    if not (folder / "config.json").is_file() or not (folder / "tables").is_dir():
        raise RecordsError(
            f"{folder}: this is not a run's folder, because it has no config.json or no tables/; "
            "give the folder that `fedchunk run` named at its end"
        )
    config = read_json(folder / "config.json")
    summary = read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    read = _Tables(folder, config, read_rounds(folder))
    for name in tables:
        _ = read[name]
    return Run(folder, MappingProxyType(config), MappingProxyType(summary), read)
