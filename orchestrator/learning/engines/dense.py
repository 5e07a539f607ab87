"""Many clients of a dense net at once: one batched product per layer, with the gradient written out by hand.

For small nets most of a step's time is the cost of calling torch. Stacking the clients' weights spreads it over all of
them, and without autograd there are fewer calls and no copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.batches import Timetable
from fedchunk.orchestrator.learning.engines.row_steps import RowSteps
from fedchunk.orchestrator.learning.transfer import to_device

TAKEN_VALUES = 1 << 20
"""Values of samples that are taken at once."""
MOST_VIEWS = 256
"""Shapes of batches whose views are kept; uneven clients have many."""

_relu_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer, where its values are in the flat vector, and whether a ReLU follows."""

    inputs: int
    outputs: int
    weight: int
    """Where the weights (outputs, inputs) start."""
    bias: int | None
    """Where the biases start; None: it has none."""
    relu: bool


def dense_layers(module: nn.Module) -> tuple[DenseLayer, ...] | None:
    """The layers of a net of linear layers and ReLUs that ends with a linear one; None for any other module."""
    if not all(parameter.requires_grad for parameter in module.parameters()) or any(True for _ in module.buffers()):
        return None
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        return None
    layers: list[DenseLayer] = []
    place, seen = 0, set[int]()
    for part in _parts(module):
        if type(part) is nn.Linear and id(part) not in seen:
            seen.add(id(part))
            bias = None if part.bias is None else place + part.weight.numel()
            layers.append(DenseLayer(part.in_features, part.out_features, place, bias, relu=False))
            place += sum(parameter.numel() for parameter in part.parameters())
        elif type(part) is nn.ReLU and layers:
            layers[-1] = _followed_by_relu(layers[-1])
        elif not (type(part) is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1) and not layers):
            return None
    is_whole = place == sum(parameter.numel() for parameter in module.parameters())  # not where weights are tied
    return tuple(layers) if layers and is_whole and not layers[-1].relu else None


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is not nn.Sequential:
        yield module
        return
    for part in module:
        yield from _parts(part)


def _followed_by_relu(layer: DenseLayer) -> DenseLayer:
    return DenseLayer(layer.inputs, layer.outputs, layer.weight, layer.bias, relu=True)


class DenseStack:
    """Trains stacked clients of a dense net. Keeps its working memory from one stack to the next."""

    def __init__(self, layers: tuple[DenseLayer, ...], smoothing: float, device: torch.device) -> None:
        self._layers = layers
        self._smoothing = smoothing
        self._device = device
        self._entries = 0
        self._memory: list[Tensor] = []
        self._views: dict[tuple[int, int, int], _Views] = {}

    def train(self, weights_GP: Tensor, timetable: Timetable, group: Part, steps: RowSteps) -> Tensor:
        """Takes all steps of the timetable.

        Args:
            weights_GP: the rows that ``steps`` works on, contiguous.
            timetable: the batches.
            group: its samples.
            steps: makes a step of a gradient.

        Returns:
            The loss of each entry of the timetable, (E,) float32 on the device.
        """
        self._make_room(max(timetable.counts_T))
        counts, classes = timetable.counts_T, self._layers[-1].outputs
        logits_E = to_device(timetable.places_E * classes, self._device)  # where each entry's logits start
        shares_E = to_device(timetable.shares_E, self._device).unsqueeze(1)
        losses_E = torch.empty(len(logits_E), device=self._device)
        by_step = [torch.split(values_E, counts) for values_E in (logits_E, shares_E, losses_E)]
        batches = self._batches(timetable, group)
        for (x_E, y_E), shape, logits, shares, losses in zip(batches, timetable.shapes_T, *by_step, strict=True):
            views = self._views_of(weights_GP, steps.gradient_GP, *shape)
            steps.narrow(shape[0])
            views.batch.copy_(x_E.flatten(1))
            views.forward()
            views.loss(logits.add_(y_E), shares, losses, self._smoothing)
            if steps.is_fused:
                views.descend(steps.learning_rate)
            else:
                views.backward()
                steps.take()
        return losses_E

    def _batches(self, timetable: Timetable, group: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples and labels of each step: a few are taken for all steps at once."""
        places_E = group.places(timetable.samples_E)
        if len(places_E) * self._layers[0].inputs <= TAKEN_VALUES:
            yield from zip(*(torch.split(taken_E, timetable.counts_T) for taken_E in group.take(places_E)), strict=True)
            return
        for step in timetable.steps:
            yield group.take(places_E[step])

    def takes(self, x_S: Tensor) -> bool:
        """Whether samples of this shape and type are what the first layer reads, once they are flat."""
        return x_S.is_floating_point() and math.prod(x_S.shape[1:]) == self._layers[0].inputs

    def forget(self) -> None:
        """To be called when the memory of weights or gradients is another than before: views of it are kept."""
        self._views.clear()

    def _make_room(self, entries: int) -> None:
        if entries <= self._entries:
            return
        self._views.clear()
        self._entries = entries
        widths = [self._layers[0].inputs, *(layer.outputs for layer in self._layers)]
        sizes = [*widths, *widths[1:], widths[-1], 1]  # activations, errors, log probabilities, what a label takes
        self._memory = [torch.empty(entries * size, device=self._device) for size in sizes]
        self._memory[-1].fill_(self._smoothing - 1)

    def _views_of(self, weights_GP: Tensor, gradient_GP: Tensor, clients: int, width: int) -> _Views:
        key = weights_GP.data_ptr(), clients, width
        if key not in self._views:
            if len(self._views) >= MOST_VIEWS:
                self._views.clear()
            self._views[key] = _Views(self._layers, self._memory, weights_GP[:clients], gradient_GP[:clients], width)
        return self._views[key]


class _Views:
    """The memory of a stack, cut for G clients with batches of B samples, and what is done with it."""

    def __init__(
        self, layers: tuple[DenseLayer, ...], memory: list[Tensor], weights_GP: Tensor, gradient_GP: Tensor, width: int
    ) -> None:
        clients, depth = len(weights_GP), len(layers)
        outputs = layers[-1].outputs
        widths = [layers[0].inputs, *(layer.outputs for layer in layers)]
        self._layers = layers
        self._activations = [
            flat[: clients * width * size].view(clients, width, size)
            for flat, size in zip(memory, widths, strict=False)
        ]
        self._errors = [
            flat[: clients * width * size].view(clients, width, size)
            for flat, size in zip(memory[depth + 1 :], widths[1:], strict=False)
        ]
        self.batch = self._activations[0].view(clients * width, -1)
        self._logits = self._activations[-1].view(-1, outputs)
        self._log_shares = memory[-2][: clients * width * outputs].view(-1, outputs)
        self._final_error = self._errors[-1].view(-1, outputs)
        self._taken = memory[-1][: clients * width]
        self._weights = [_matrices(weights_GP, layer) for layer in layers]
        self._biases = [_biases(weights_GP, layer) for layer in layers]
        self._weight_gradients = [_matrices(gradient_GP, layer) for layer in layers] if gradient_GP.numel() else []
        self._bias_gradients = [_biases(gradient_GP, layer) for layer in layers] if gradient_GP.numel() else []
        self._turned_weights = [weight.transpose(1, 2) for weight in self._weights]
        self._wide_biases = [None if bias is None else bias.unsqueeze(1) for bias in self._biases]
        self._turned_errors = [error.transpose(1, 2) for error in self._errors]

    def forward(self) -> None:
        """Logits of the batch."""
        for at, layer in enumerate(self._layers):
            bias, answer = self._wide_biases[at], self._activations[at + 1]
            if bias is None:
                torch.bmm(self._activations[at], self._turned_weights[at], out=answer)
            else:
                torch.baddbmm(bias, self._activations[at], self._turned_weights[at], out=answer)
            if layer.relu:
                answer.relu_()

    def loss(self, targets_E: Tensor, shares_E: Tensor, losses_E: Tensor, smoothing: float) -> None:
        """The cross entropy of each entry into ``losses_E``, and the error: its gradient by the logits, by its share.

        ``targets_E`` are the places of the labels among all logits of the step.
        """
        torch.log_softmax(self._logits, 1, out=self._log_shares)
        torch.index_select(self._log_shares.view(-1), 0, targets_E, out=losses_E)
        losses_E.mul_(smoothing - 1)
        torch.exp(self._log_shares, out=self._final_error)
        if smoothing:
            classes = self._logits.shape[1]
            losses_E.sub_(self._log_shares.sum(1), alpha=smoothing / classes)
            self._final_error.sub_(smoothing / classes)
        self._final_error.view(-1).index_add_(0, targets_E, self._taken)
        self._final_error.mul_(shares_E)

    def backward(self) -> None:
        """The gradient of each client's mean loss."""
        for at in reversed(range(len(self._layers))):
            self._error_below(at)
            torch.bmm(self._turned_errors[at], self._activations[at], out=self._weight_gradients[at])
            bias = self._bias_gradients[at]
            if bias is not None:
                torch.sum(self._errors[at], 1, out=bias)

    def descend(self, learning_rate: float) -> None:
        """A step of plain gradient descent. The gradient is not written down, only added where somebody asks for it."""
        for at in reversed(range(len(self._layers))):
            self._error_below(at)  # before this layer's weights change
            self._weights[at].baddbmm_(self._turned_errors[at], self._activations[at], alpha=-learning_rate)
            if self._weight_gradients:
                self._weight_gradients[at].baddbmm_(self._turned_errors[at], self._activations[at])
            bias = self._biases[at]
            if bias is not None:
                error = self._errors[at].sum(1)
                bias.sub_(error, alpha=learning_rate)
                gradient = self._bias_gradients[at] if self._bias_gradients else None
                if gradient is not None:
                    gradient.add_(error)

    def _error_below(self, at: int) -> None:
        """The error of the layer before layer ``at``, through its ReLU."""
        if at:
            below = self._errors[at - 1]
            torch.bmm(self._errors[at], self._weights[at], out=below)
            if self._layers[at - 1].relu:
                _relu_backward(below, self._activations[at], 0, grad_input=below)


def _matrices(rows_GP: Tensor, layer: DenseLayer) -> Tensor:
    """The layer's weights in each row, (G, outputs, inputs), as a view."""
    part = rows_GP[:, layer.weight : layer.weight + layer.outputs * layer.inputs]
    return part.view(len(rows_GP), layer.outputs, layer.inputs)


def _biases(rows_GP: Tensor, layer: DenseLayer) -> Tensor | None:
    """The layer's biases in each row, (G, outputs), as a view."""
    return None if layer.bias is None else rows_GP[:, layer.bias : layer.bias + layer.outputs]
