"""A look at data and split before anything is loaded: by targets alone, as far as files say them without samples."""

from __future__ import annotations

import numpy as np

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.learning.data.labels import Labels
from fedchunk.orchestrator.learning.data.places import data_folder
from fedchunk.orchestrator.learning.partition import partition
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.joined import Sections


def look(settings: Sections) -> None:
    """Finds what is wrong with the user's files and with the split, where both are built in. Decodes no sample.

    Raises:
        DataError: files are missing or damaged, or targets are not what the task takes; the message names the place.
        ConfigError: clients or samples of the split are unknown, given out twice or empty.
    """
    labels = labels_alone(settings)
    if labels is not None and settings.components.get(KINDS["partition"], settings.data.data_distribution_kind) is None:
        partition(labels.train_y, labels.clients, labels.num_classes, settings)


def labels_alone(settings: Sections) -> Labels | None:
    """The labels of the training samples, as a data set's ``labels`` reads them; None where it has no such function.

    With a task of other targets these stand for labels, of the data sets that read them.

    Where a split asks only how many samples there are, and the data set states that, labels of zero stand for them.
    """
    kind, name = KINDS["dataset"], settings.data.dataset_type
    if settings.components.get(kind, name) is not None:
        return None
    read = registry.load_beside(kind, name, "labels")
    if read is not None:
        facts, asked = settings.task_facts, registry.signature_of(read).names
        if not facts.one_label and "task_targets" not in asked:
            return None
        given = {"data_dir": data_folder(settings.data), "task_targets": facts.data_targets}
        given |= settings.data.dataset_options
        found: Labels | None = read(**{option: value for option, value in given.items() if option in asked})
        return found
    count = settings.constants("dataset").get("TRAIN_SAMPLES")
    if count is None or "ONLY_COUNTS" not in settings.constants("partition"):
        return None
    return Labels(np.zeros(count, np.int64), settings.constants("dataset")["CLASSES"])
