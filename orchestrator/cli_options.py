"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Config = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file with the settings.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="key=value", help="Settings that win over the file's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(metavar="URI", help="MLflow store; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."),
]
FiguresOption = Annotated[
    str | None,
    typer.Option("--figures", metavar="FORMATS", help="What figures are written as beside PNG: svg, pdf, or svg,pdf."),
]
LinksOption = Annotated[
    str | None,
    typer.Option("--links", metavar="FILE", help="Clients' links: a YAML file, or 4g, datacenter, dsl, fibre, wan."),
]
