"""What is known of a data set before it is loaded, from the constants in its file. A user's is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class DataFacts:
    """A data set's shapes and sizes."""

    input_shape: tuple[int, ...]
    """Of one sample as the model sees it, after any resize."""
    num_classes: int
    num_bytes: int
    """Samples as stored and int64 labels, training and test."""


def data_facts(settings: Sections) -> DataFacts:
    """The facts of the settings' data set. Opens no files, but for a user's data set; raises as ``load_dataset``."""
    known = settings.constants("dataset")
    if "SHAPE" not in known or settings.data.task != "classification":  # how many outputs, its targets say
        return _loaded(settings)
    size, stored = settings.data.transform_input_size, known["SHAPE"]
    samples = known["TRAIN_SAMPLES"] + known["TEST_SAMPLES"]
    shape = stored if size is None else (stored[0], size, size)
    return DataFacts(shape, known["CLASSES"], samples * (math.prod(stored) * known["VALUE_BYTES"] + 8))


def _loaded(settings: Sections) -> DataFacts:
    from fedchunk.orchestrator.learning.data.load import load_dataset

    data = load_dataset(settings)
    arrays = (data.train_x, data.train_y, data.test_x, data.test_y)
    return DataFacts(data.input_shape, data.num_classes, sum(array.nbytes for array in arrays))
