"""Flower's client, in a module of its own: Ray's workers import it by name instead of unpickling it every time.

Data and model are kept per worker, as a careful user would.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from side import Work
from torch.nn.functional import cross_entropy
from torch_models import build

app = ClientApp()


@cache
def kept(work_folder: str) -> tuple[Work, torch.nn.Module, torch.Tensor, torch.Tensor]:
    """What a worker loads once."""
    torch.set_num_threads(1)
    work = Work.load(Path(work_folder))
    return work, build(work.facts), torch.from_numpy(work.x_NS), torch.from_numpy(work.y_NS)


@app.train()
def train(message: Message, context: Context) -> Message:
    """One client's local training."""
    order = message.content["config"]
    work, module, x_NS, y_NS = kept(order["work_folder"])
    module.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(module.parameters(), lr=work.facts["learning_rate"])
    round_index, place = order["round"], order["place"]
    client = work.cohort(round_index)[place]
    for batch in work.batches(round_index, place):
        chosen = torch.from_numpy(batch)
        optimizer.zero_grad()
        cross_entropy(module(x_NS[client][chosen]), y_NS[client][chosen]).backward()
        optimizer.step()
    metrics = MetricRecord({"num-examples": work.orders_RMS.shape[2]})
    content = RecordDict({"arrays": ArrayRecord(module.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)
