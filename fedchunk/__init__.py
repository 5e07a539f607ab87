"""Federated learning on Ray in which clients exchange only the chunks of the model that matter.

    import fedchunk

    run = fedchunk.run("base.yaml", sensitivity_percentage=20, model_type=TinyNet, local=True)
    run.rounds.to_pandas()

What is named here is public; everything else may change. Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedchunk.analysis.chunk_analyzer import ChunkAnalyzer
    from fedchunk.analysis.compare import compare
    from fedchunk.analysis.load import Run, load_run
    from fedchunk.orchestrator.chunking.layout import Layout
    from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
    from fedchunk.orchestrator.contract.ports import FederationInfo, Recorder, RunSummary
    from fedchunk.orchestrator.core.errors import ConfigError, FedchunkError
    from fedchunk.orchestrator.core.links import Links
    from fedchunk.orchestrator.export import export
    from fedchunk.orchestrator.fork import fork
    from fedchunk.orchestrator.learning.data.dataset import Dataset
    from fedchunk.orchestrator.learning.tasks._task import Task
    from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule
    from fedchunk.orchestrator.run import load_settings, resume, run
    from fedchunk.orchestrator.settings.links_file import load_links
    from fedchunk.orchestrator.settings.whole import Settings
    from fedchunk.orchestrator.sweep import Sweep, sweep

_PLACES = {
    "ChunkAnalyzer": "analysis.chunk_analyzer",
    "ConfigError": "orchestrator.core.errors",
    "Dataset": "orchestrator.learning.data.dataset",
    "ExchangeRule": "orchestrator.methods.exchange_rules._rule",
    "FedchunkError": "orchestrator.core.errors",
    "FederationInfo": "orchestrator.contract.ports",
    "Layout": "orchestrator.chunking.layout",
    "Links": "orchestrator.core.links",
    "ModelSpec": "orchestrator.contract.messages",
    "ModelState": "orchestrator.contract.messages",
    "Recorder": "orchestrator.contract.ports",
    "RoundResult": "orchestrator.contract.messages",
    "Run": "analysis.load",
    "RunSummary": "orchestrator.contract.ports",
    "Settings": "orchestrator.settings.whole",
    "compare": "analysis.compare",
    "export": "orchestrator.export",
    "fork": "orchestrator.fork",
    "load_links": "orchestrator.settings.links_file",
    "load_run": "analysis.load",
    "load_settings": "orchestrator.run",
    "resume": "orchestrator.run",
    "Sweep": "orchestrator.sweep",
    "run": "orchestrator.run",
    "sweep": "orchestrator.sweep",
    "Task": "orchestrator.learning.tasks._task",
}

__all__ = [
    "ChunkAnalyzer",
    "ConfigError",
    "Dataset",
    "ExchangeRule",
    "FedchunkError",
    "FederationInfo",
    "Layout",
    "Links",
    "ModelSpec",
    "ModelState",
    "Recorder",
    "RoundResult",
    "Run",
    "RunSummary",
    "Settings",
    "Sweep",
    "Task",
    "compare",
    "export",
    "fork",
    "load_links",
    "load_run",
    "load_settings",
    "resume",
    "run",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'fedchunk' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"fedchunk.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
