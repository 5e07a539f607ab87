"""Keeps the last data sets, for whoever runs several experiments in one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.joined import Sections

MOST = 2
"""Data sets that are kept: trials of a sweep differ in little else more often than in their data."""


class DatasetCache:
    """Loads what was not loaded just before."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, LoadedDataset] = OrderedDict()

    def load(self, settings: Sections) -> LoadedDataset:
        """As :func:`load_dataset`."""
        key = _key(settings)
        if key not in self._kept:
            self._kept[key] = load_dataset(settings)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return self._kept[key]


def _key(settings: Sections) -> Hashable:
    """All that a data set depends on."""
    data, kind = settings.data, KINDS["dataset"]
    own = settings.components.get(kind, data.dataset_type)
    seed = settings.federation.random_seed if "seed" in settings.signature("dataset").names else None
    offered = sorted(settings.on_offer("dataset").items())
    options = repr(sorted(data.dataset_options.items()))
    code = own.sha256 if own else ""
    task = settings.components.get(KINDS["task"], data.task)
    tokenizer = settings.components.get(KINDS["tokenizer"], data.tokenizer)
    asked = (
        data.task, task.sha256 if task else "", repr(sorted(data.task_options.items())),
        data.tokenizer, tokenizer.sha256 if tokenizer else "", repr(sorted(data.tokenizer_options.items())),
    )  # fmt: skip
    return asked, data.dataset_type, data.data_dir, data.transform_input_size, code, seed, str(offered), options
