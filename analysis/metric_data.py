"""Further metrics of a run, beside accuracy and loss, as numbers."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

COORDINATOR = "coordinator's model"
CLIENTS = "clients' own models, mean"


def metric_data(metrics: pa.Table) -> pa.Table:
    """A row per metric and round in which it was measured: ``round``, ``name``, ``value``, ``model``.

    The value is that of the coordinator's model; of a metric that only clients have, the mean over them.
    """
    coordinators = metrics.filter(pc.is_null(metrics["client"]))
    is_its = pc.is_in(metrics["name"], coordinators["name"].unique())
    of_clients = metrics.filter(pc.and_(pc.is_valid(metrics["client"]), pc.invert(is_its)))
    means = of_clients.group_by(["round", "name"]).aggregate([("value", "mean")])
    table = pa.concat_tables([_of(coordinators, "value", COORDINATOR), _of(means, "value_mean", CLIENTS)])
    order = pc.index_in(table["name"], metrics["name"].unique())  # that of the settings
    placed = table.append_column("place", order).sort_by([("round", "ascending"), ("place", "ascending")])
    return placed.drop_columns("place")


def _of(rows: pa.Table, value: str, model: str) -> pa.Table:
    models = pa.array([model] * rows.num_rows, pa.string())
    return pa.table({"round": rows["round"], "name": rows["name"], "value": rows[value], "model": models})


def last_metrics(data: pa.Table) -> list[tuple[str, float, str, int]]:
    """Of each metric in :func:`metric_data` the last value: name, value, whose model, round."""
    rows = {row["name"]: row for row in data.to_pylist()}
    return [(name, row["value"], row["model"], row["round"]) for name, row in rows.items()]
