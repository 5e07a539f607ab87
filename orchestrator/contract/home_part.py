"""What of a model is shared, and what stays at home: names by patterns, flat vectors with the shared values first.

Source: FedPer keeps the last layers at home (Arivazhagan et al. 2019, arXiv 1912.00818), FedRep the head (Collins et
al. 2021, arXiv 2102.07078), FedBN all of BatchNorm (Li et al. 2021, arXiv 2102.07623).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState
from fedchunk.orchestrator.core.errors import ConfigError, Fault


def stays_home(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns, in which ``*`` and ``?`` stand for letters, is the parameter's or buffer's name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def shared_part(whole: ModelSpec, patterns: Sequence[str], model_type: str) -> ModelSpec:
    """What of a model is exchanged; its ``home`` says what is not.

    Args:
        whole: the model, its vectors with the values that are shared first.
        patterns: ``local_parameters``.
        model_type: for messages.

    Raises:
        ConfigError: a pattern is no parameter's and no buffer's name, or nothing would be shared.
    """
    if not patterns:
        return whole
    names = [*(one.name for one in whole.parameters), *(one.name for one in whole.buffers)]
    if unknown := [pattern for pattern in patterns if not any(stays_home(name, (pattern,)) for name in names)]:
        shown = ", ".join(names[:6]) + (f", ... ({len(names)} in all)" if len(names) > 6 else "")
        message = (
            f"got {unknown[0]!r}, which no trained parameter and no buffer of {model_type} is called; it has {shown}"
        )
        raise ConfigError([Fault("", "local_parameters", message)])
    shared = [one for one in whole.parameters if not stays_home(one.name, patterns)]
    if not shared:
        message = f"got {list(patterns)}, which leaves no parameter of {model_type} to share"
        raise ConfigError([Fault("", "local_parameters", message)])
    buffers = tuple(one for one in whole.buffers if not stays_home(one.name, patterns))
    spec = ModelSpec(tuple(shared), buffers, num_frozen=whole.num_frozen)
    first = {False: spec.num_float_buffers, True: spec.num_integer_buffers}
    parameters = tuple(
        replace(one, start=one.start - spec.num_parameters, stop=one.stop - spec.num_parameters)
        for one in whole.parameters
        if stays_home(one.name, patterns)
    )
    own_buffers = tuple(
        replace(one, start=one.start - first[one.is_integer], stop=one.stop - first[one.is_integer])
        for one in whole.buffers
        if stays_home(one.name, patterns)
    )
    return replace(spec, home=ModelSpec(parameters, own_buffers))


def joined(shared: ModelState, home: ModelState) -> ModelState:
    """The whole model: what is shared, and behind it what stays at home."""
    return ModelState(
        np.concatenate([shared.weights_P, home.weights_P]),
        np.concatenate([shared.buffers_B, home.buffers_B]),
        np.concatenate([shared.counters_I, home.counters_I]),
    )


def apart(spec: ModelSpec, whole: ModelState) -> tuple[ModelState, ModelState]:
    """What of a whole model is shared and what stays at home, as views; also of models that are rows."""
    p, b, i = spec.num_parameters, spec.num_float_buffers, spec.num_integer_buffers
    shared = ModelState(whole.weights_P[..., :p], whole.buffers_B[..., :b], whole.counters_I[..., :i])
    return shared, ModelState(whole.weights_P[..., p:], whole.buffers_B[..., b:], whole.counters_I[..., i:])
