"""A module whose trainable values are one flat vector, and what that vector is made of.

Training, scoring and sending work on the flat vector; the module's parameters are views of it, so nothing is copied
between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.home_part import stays_home
from fedchunk.orchestrator.contract.messages import BufferSpec, ModelSpec, ModelState, ParameterSpec
from fedchunk.orchestrator.contract.named_tensors import Tensors
from fedchunk.orchestrator.learning.engines.image_order import image_order
from fedchunk.orchestrator.learning.tasks._task import Answers
from fedchunk.orchestrator.learning.transfer import fill, host_copy


class FlatModel:
    """A module on a device, with its trainable values as one vector.

    Parameters are those of ``named_parameters()`` that require a gradient, in that order; tied ones come once.
    Buffers are the persistent ones. Behind both come those that stay at home, if any do. Parameters that require no
    gradient are frozen: they stay what they are, so they are the module's alone, and in no state.

    Attributes:
        module: the module itself. Its parameters are views of the vector: change them in place only. They have no
            ``grad``: :meth:`gradients` gives it away instead of adding to it, which spares passes over all values.
    """

    def __init__(
        self,
        module: nn.Module,
        device: torch.device | str,
        bound: Bound | None = None,
        answers: Answers | None = None,
        local: Sequence[str] = (),
    ) -> None:
        """Moves ``module`` to ``device`` and takes its parameters over.

        Args:
            module: the module.
            device: where to.
            bound: whose code it is, where that is the user's: what goes wrong in it is said with its place.
            answers: what it must answer to a sample; looked at where it is the user's.
            local: patterns of the names that stay at home.

        Raises:
            ValueError: nothing is trainable, or a value is of a type that cannot be sent (other than float32
                parameters, float32 buffers and integers).
        """
        self.module = module.to(device)
        self._bound, self._answers = bound, answers
        self._image_order = image_order(module, torch.device(device).type)
        self._local = tuple(local)
        self._spec = spec_of(module, local)
        self._parameters = [parameter for _, parameter in _trainable(module, local)]
        initial = [parameter.detach().reshape(-1) for parameter in self._parameters]
        self._place(torch.cat(initial))
        self._frozen_as = self._frozen_versions()

    @property
    def spec(self) -> ModelSpec:
        """Names, shapes and places of parameters and buffers."""
        return self._spec

    @property
    def is_in_order(self) -> bool:
        """Whether parameters lie in the vector as they come in the module."""
        return [name for name, _ in _trainable(self.module)] == [place.name for place in self._spec.parameters]

    @property
    def weights(self) -> Tensor:
        """The trainable values, (P,) float32 on the device; the module sees changes made in place."""
        return self._weights

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._weights.device

    def frozen(self) -> dict[str, NDArray[np.generic]]:
        """The parameters that are not trained, by name, in host memory; on the CPU they share the module's."""
        return {name: parameter.detach().cpu().numpy() for name, parameter in _frozen(self.module)}

    def load_frozen(self, tensors: Tensors) -> None:
        """Gives the parameters that are not trained the values that are theirs by name; without any they stay.

        Raises:
            ValueError: some are there and others not, or they are of another shape than the parameter.
        """
        frozen = _frozen(self.module)
        missing = [name for name, _ in frozen if name not in tensors]
        if len(missing) == len(frozen):
            return
        if missing:
            raise ValueError(f"{missing[0]} is missing, of {len(missing)} that are frozen")
        for name, parameter in frozen:
            values = tensors[name]
            if values.shape != tuple(parameter.shape):
                raise ValueError(f"{name} has shape {values.shape}, the model's has {tuple(parameter.shape)}")
            parameter.data.copy_(torch.from_numpy(values.copy()))
        self._frozen_as = self._frozen_versions()

    def check_frozen(self) -> None:
        """To be called after training: a value that changes without a gradient would pass from client to client.

        Raises:
            ComponentFailed: a user's module has written into a parameter that is not trained.
            RuntimeError: one of ours has.
        """
        now = self._frozen_versions()
        changed = [name for name, version in now.items() if version != self._frozen_as[name]]
        if changed:
            self._frozen_as = now
            reason = f"wrote into {changed[0]!r}, which requires no gradient; make it a buffer, which clients have each"
            raise RuntimeError(reason) if self._bound is None else self._bound.failed(reason)

    def _frozen_versions(self) -> dict[str, int]:
        """How often torch has seen each of them written into."""
        return {name: parameter._version for name, parameter in _frozen(self.module)}

    def logits(self, x_B: Tensor) -> Tensor:
        """The module's answers to a batch of samples, (B, classes), or what the task asks for.

        Raises:
            ComponentFailed: a user's module raised, or answers with something else.
        """
        if x_B.ndim == 4:
            x_B = x_B.to(memory_format=self._image_order)
        if self._bound is None:
            answers: Tensor = self.module(x_B)
            return answers
        with self._bound.named():
            answers = self.module(x_B)
        shape = tuple(answers.shape) if isinstance(answers, Tensor) else ()
        wanted = self._answers
        if shape[:1] != (len(x_B),) or (wanted is not None and not wanted.fit(shape[1:])):
            found = f"shape {shape}" if isinstance(answers, Tensor) else type(answers).__name__
            expected = (len(x_B), *(wanted.shape if wanted else ("...",)))
            text = ", ".join(map(str, expected))
            raise self._bound.failed(f"answered {len(x_B)} samples with {found}, expected a tensor ({text})")
        return answers

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """The gradient of ``loss`` for each parameter; zero where it has no part in the loss."""
        return torch.autograd.grad(loss, self._parameters, allow_unused=True, materialize_grads=True)

    def by_parameter(self, vector_P: Tensor) -> list[Tensor]:
        """Views of a vector's parts, in the shapes of the parameters that they belong to."""
        return [vector_P[place.start : place.stop].view(place.shape) for place in self._spec.parameters]

    @contextmanager
    def placed_in(self, vector_P: Tensor) -> Iterator[None]:
        """Inside, this vector is the memory of the trainable values, which are whatever it holds."""
        own = self._weights
        self._place(vector_P)
        try:
            yield
        finally:
            self._place(own)

    def _place(self, weights: Tensor) -> None:
        self._weights = weights
        for view, parameter in zip(self.by_parameter(weights), self._parameters, strict=True):
            parameter.data = view

    def load(self, state: ModelState) -> None:
        """Copies ``state`` in; its arrays may be read-only and stay untouched.

        Raises:
            ValueError: an array does not have the model's length.
        """
        buffers_B, counters_I = self._buffer_vectors()
        for name, array, target in (
            ("weights_P", state.weights_P, self._weights),
            ("buffers_B", state.buffers_B, buffers_B),
            ("counters_I", state.counters_I, counters_I),
        ):
            if array.shape != target.shape:
                raise ValueError(f"{name}: the model has {target.numel()} values, got an array of shape {array.shape}")
            fill(target, array)
        with torch.no_grad():
            for place, tensor in self._buffers():
                source = counters_I if place.is_integer else buffers_B
                tensor.copy_(source[place.start : place.stop].view(place.shape))

    def state(self) -> ModelState:
        """A copy of all values, in host memory."""
        buffers_B, counters_I = self._buffer_vectors()
        self.save_buffers(buffers_B, counters_I)
        return ModelState(host_copy(self._weights), host_copy(buffers_B), host_copy(counters_I))

    def save_buffers(self, buffers_B: Tensor, counters_I: Tensor) -> None:
        """Copies what the model has beside its trainable values into vectors on its device."""
        for place, tensor in self._buffers():
            target = counters_I if place.is_integer else buffers_B
            target[place.start : place.stop].view(place.shape).copy_(tensor.detach())

    def _buffers(self) -> Iterable[tuple[BufferSpec, Tensor]]:
        """Read from the module each time: a module may put a new tensor in a buffer's place."""
        if not self._spec.buffers:
            return ()
        return zip(self._spec.buffers, (tensor for _, tensor in _other_state(self.module, self._local)), strict=True)

    def _buffer_vectors(self) -> tuple[Tensor, Tensor]:
        floats = torch.empty(self._spec.num_float_buffers, dtype=torch.float32, device=self.device)
        return floats, torch.empty(self._spec.num_integer_buffers, dtype=torch.int64, device=self.device)


def spec_of(module: nn.Module, local: Sequence[str] = ()) -> ModelSpec:
    """What ``module`` is made of; allocates nothing, so a module on the meta device will do.

    What stays at home by the patterns ``local`` is part of it, behind all else.

    Raises:
        ValueError: as :class:`FlatModel` says.
    """
    parameters, start = [], 0
    for name, parameter in _trainable(module, local):
        if parameter.dtype != torch.float32:
            raise ValueError(f"parameter {name!r} is {parameter.dtype}, allowed is torch.float32: use module.float()")
        parameters.append(ParameterSpec(name, tuple(parameter.shape), start, start + parameter.numel()))
        start += parameter.numel()
    if not start:
        raise ValueError(f"{type(module).__name__} has no trainable values: nothing could be learned or sent")
    num_frozen = 0
    for name, parameter in _frozen(module):
        _check_type("frozen parameter", name, parameter)
        num_frozen += parameter.numel()
    return ModelSpec(tuple(parameters), tuple(_buffer_specs(module, local)), num_frozen=num_frozen)


def _buffer_specs(module: nn.Module, local: Sequence[str]) -> Iterable[BufferSpec]:
    ends = {False: 0, True: 0}  # of the float and of the integer vector
    for name, tensor in _other_state(module, local):
        _check_type("buffer", name, tensor)
        is_integer = not tensor.is_floating_point()
        start, ends[is_integer] = ends[is_integer], ends[is_integer] + tensor.numel()
        yield BufferSpec(name, tuple(tensor.shape), is_integer, start, ends[is_integer])


def _check_type(what: str, name: str, tensor: Tensor) -> None:
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype != torch.float32):
        raise ValueError(f"{what} {name!r} is {tensor.dtype}, allowed are torch.float32 and integers")


def _trainable(module: nn.Module, local: Sequence[str] = ()) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are trained, those that stay at home last."""
    named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    return sorted(named, key=lambda one: stays_home(one[0], local))


def _frozen(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are not trained; tied ones once."""
    return [(name, parameter) for name, parameter in module.named_parameters() if not parameter.requires_grad]


def _other_state(module: nn.Module, local: Sequence[str]) -> Iterable[tuple[str, Tensor]]:
    """The buffers that belong to the saved state; tied ones once, those at home last."""
    persistent = module.state_dict(keep_vars=True).keys()
    named = [(name, buffer) for name, buffer in module.named_buffers() if name in persistent]
    return sorted(named, key=lambda one: stays_home(one[0], local))
