"""Pictures in a folder for each class, as torchvision's ImageFolder has them; decoded once."""

from __future__ import annotations

from pathlib import Path

from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.kept_file import CACHE
from fedchunk.orchestrator.learning.data.labels import Labels
from fedchunk.orchestrator.learning.data.picture_folder import look_into
from fedchunk.orchestrator.learning.data.pictures import Decoder, decoded_pictures
from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.settings.option_types import Channels, Count, CountOrNone, TestShare


def imagefolder(
    data_dir: Path,
    folder: str = ".",
    size: Count | None = None,
    channels: Channels | None = None,
    test_share: TestShare | None = None,
    test_seed: CountOrNone = 0,
    cache_dir: str = CACHE,
) -> Dataset:
    """Images (S, c, h, w) in uint8; classes are numbered in the order of their names.

    Args:
        data_dir: where ``folder`` counts from.
        folder: has train/<class>/* and test/<class>/*, or <class>/*.
        size: side in pixels that pictures are stretched to; None: what they all have.
        channels: 1 or 3; None: what they all have.
        test_share: of each class, where there is no folder test; None: a fifth.
        test_seed: fixes which pictures that are.
        cache_dir: where decoded pictures are kept.
    """
    found = look_into(below(data_dir, folder), test_share, test_seed)
    decoder, cache = Decoder(size, channels), below(Path(), cache_dir)
    # One file for both: what is not alike shows, and their names say it.
    everything = decoded_pictures([*found.train.files, *found.test.files], decoder, cache)
    train_x, test_x = everything[: len(found.train.files)], everything[len(found.train.files) :]
    return Dataset(train_x, found.train.labels_S, test_x, found.test.labels_S, len(found.classes))


def labels(data_dir: Path, folder: str = ".", test_share: float | None = None, test_seed: int = 0) -> Labels:
    """What the folders alone say."""
    found = look_into(below(data_dir, folder), test_share, test_seed)
    return Labels(found.train.labels_S, len(found.classes))
