"""Local training of the clients of a group: one by one against all at once, how many at once, and images' order.

    python benchmarks/training.py [--quick]

One thread on the CPU. Everything that is compared is timed in turns in one run. What it finds justifies the rule of
``vectorize_clients: auto``, the size of a stack and the order of images in memory. Writes
``benchmarks/results/training.md``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import numpy as np
import torch

from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines import flatten, stacked
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer
from fedchunk.orchestrator.learning.engines.image_order import image_order
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import TrainingSettings

GROUPS = (1, 2, 4, 8, 16, 32)
BATCH = 10
RESULT = Path(__file__).parent / "results" / "training.md"


@dataclass(frozen=True)
class Workload:
    """A model and what one client trains on."""

    model_type: str
    image_shape: tuple[int, int, int]
    samples: int
    repetitions: int

    @property
    def steps(self) -> int:
        return self.samples // BATCH

    @property
    def title(self) -> str:
        return f"{self.model_type} {' x '.join(map(str, self.image_shape))}"


WORKLOADS = (
    Workload("logistic", (1, 28, 28), samples=60, repetitions=25),
    Workload("mlp", (1, 8, 8), samples=20, repetitions=25),
    Workload("mlp", (1, 28, 28), samples=20, repetitions=15),
    Workload("mlp", (3, 32, 32), samples=20, repetitions=9),
    Workload("lenet", (1, 28, 28), samples=20, repetitions=9),
    Workload("cnn", (3, 32, 32), samples=20, repetitions=3),
)

ORDERED_MODELS = ("lenet", "cnn", "mobilenet", "resnet18", "vgg16")
ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 repetitions and small groups; writes nothing")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    groups = GROUPS[:4] if quick else GROUPS
    lines = [*_head(), *(row for work in WORKLOADS for row in measure(work, groups, quick)), ""]
    lines += [*_order_head(), *(measure_order(model_type, 3 if quick else 9) for model_type in ORDERED_MODELS)]
    print("\n".join(lines))
    if not quick:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _head() -> list[str]:
    return [
        "# Local training: one by one and at once",
        "",
        "Made by `python benchmarks/training.py`. Microseconds of processor time a client-step: all that a group "
        f"costs, shared by its clients and their steps; one thread, batches of {BATCH}, plain SGD. Medians (least to "
        "most) of repetitions in turns. *At once* is what `vectorize_clients: on` takes: `dense`, which are stacked "
        "products, for linear layers, else `vmap`; `auto` takes `dense` alone. *Cut*: in stacks of at most "
        f"2^{stacked.STACK_VALUES.bit_length() - 1} values, as groups are trained. *Whole*: the group as one stack. "
        "*Gradient*: whether its mean is kept, as scores of chunks need it. *Gain*: one by one over cut.",
        "",
        "| model | parameters | steps | gradient | clients | one by one | at once, cut | at once, whole | gain |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]


def measure(work: Workload, groups: tuple[int, ...], quick: bool) -> Iterator[str]:
    """Rows of the table for one workload."""
    for with_gradient in (False, True):
        for clients in groups:
            ready = {
                "one by one": ReadyGroup(work, "off", clients, with_gradient, whole=False),
                "cut": ReadyGroup(work, "on", clients, with_gradient, whole=False),
                "whole": ReadyGroup(work, "on", clients, with_gradient, whole=True),
            }
            times = interleaved({name: group.run for name, group in ready.items()}, 3 if quick else work.repetitions)
            alone, cut, whole = ([1e6 * t / (clients * work.steps) for t in seconds] for seconds in times.values())
            gain = statistics.median(alone) / statistics.median(cut)
            yield (
                f"| {work.title}, {ready['cut'].engine} | {ready['cut'].num_parameters:,} | {work.steps} "
                f"| {'yes' if with_gradient else 'no'} | {clients} "
                f"| {_figure(alone)} | {_figure(cut)} | {_figure(whole)} | {gain:.2f} |"
            )


class ReadyGroup:
    """A group of clients, ready to be trained again and again from the same start."""

    def __init__(
        self, work: Workload, vectorize: Literal["on", "off"], clients: int, with_gradient: bool, *, whole: bool
    ) -> None:
        training = TrainingSettings(
            model_type=work.model_type, train_batch_size=BATCH, learning_rate=0.01, vectorize_clients=vectorize
        )
        settings = Sections(training=training)
        most = 1 << 40 if whole else stacked.STACK_VALUES
        self._limit = patch.object(stacked, "STACK_VALUES", most)
        model = FlatModel(build_model(settings, work.image_shape, 10), "cpu")
        random = torch.Generator().manual_seed(0)
        x_S = torch.randn(clients * work.samples, *work.image_shape, generator=random)
        self._samples = Part.whole(x_S, torch.randint(10, (clients * work.samples,), generator=random))
        self._offsets = np.arange(0, clients * work.samples + 1, work.samples).tolist()
        self._starts = [model.state()] * clients
        self._trainer = GroupTrainer(model, settings, with_gradient=with_gradient)
        self.num_parameters = model.spec.num_parameters
        self.engine = self._trainer.plan.engine

    def run(self) -> None:
        clients = range(len(self._starts))
        with self._limit:
            group = self._trainer.train(self._starts, self._samples, self._offsets, clients, seed=0, round_index=1)
        assert not group.failures


def _order_head() -> list[str]:
    return [
        "## The order of images in memory",
        "",
        f"Milliseconds of processor time a step of one client, batches of {BATCH} images of 3 x 32 x 32. *Gain*: "
        "channels first over channels last. *Taken*: by `orchestrator/learning/engines/image_order.py`.",
        "",
        "| model | parameters | channels first | channels last | gain | taken |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]


def measure_order(model_type: str, repetitions: int) -> str:
    """A row of the table of orders."""
    work = Workload(model_type, (3, 32, 32), samples=BATCH, repetitions=repetitions)
    ready = {}
    for name, order in ORDERS.items():
        with patch.object(flatten, "image_order", lambda *_, order=order: order):
            ready[name] = ReadyGroup(work, "off", 1, with_gradient=True, whole=False)
    times = interleaved({name: group.run for name, group in ready.items()}, repetitions)
    first, last = ([1e3 * t for t in times[name]] for name in ORDERS)
    module = build_model(Sections(training=TrainingSettings(model_type=model_type)), work.image_shape, 10)
    taken = next(name for name, order in ORDERS.items() if order == image_order(module, "cpu"))
    gain = statistics.median(first) / statistics.median(last)
    parameters = ready["channels first"].num_parameters
    return f"| {model_type} | {parameters:,} | {_figure(first, 2)} | {_figure(last, 2)} | {gain:.2f} | {taken} |"


def interleaved(runs: dict[str, Callable[[], None]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of processor time of each, in turns, after one run that does not count.

    One thread does all the work, and its time says the same on a busy machine, but for the cache.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for repetition in range(repetitions + 1):
        first = repetition % len(names)  # who comes after whom makes a difference: it finds other things in the cache
        for name in names[first:] + names[:first]:
            started = time.process_time()
            runs[name]()
            if repetition:
                times[name].append(time.process_time() - started)
    return times


def _figure(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


if __name__ == "__main__":
    main()
