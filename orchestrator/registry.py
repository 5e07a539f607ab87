"""The one place that knows what a name in a settings file stands for.

A *component* is what such a name means: a model, a score, an encoding. Its value in the settings is

    a built-in name         a file in its kind's folder: ``chunk_score: gradient`` is ``methods/scores/gradient.py``
    an entry point's name   of the group ``fedchunk.<kind>``, from an installed package
    a place                 ``my_lab.rules:taylor`` (importable) or ``./rules.py:taylor`` (a file)

A built-in is the function or class in its file that bears the file's name; to add one is to add a file. Names and
signatures of built-ins are read from the sources, so that nothing heavy is imported to check a settings file.
Standard library only.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
PACKAGE = "fedchunk.orchestrator"
PLACE = re.compile(r"[^:]+:[A-Za-z_][\w.]*")
"""What a place looks like: a module or a file, and a name in it."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of component."""

    name: str
    key: str
    """The setting that names it; a list of names where ``many``."""
    folder: str
    """Where the built-ins lie, below ``orchestrator/``."""
    offers: tuple[str, ...]
    """What a component may ask for, by the names of its parameters."""
    returns: str
    """What it must return, in words."""
    settings: tuple[str, ...] = ()
    """Settings that are on offer too, by their keys."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """Names that are not simply their file's: the name, and the file."""
    many: bool = False

    @property
    def options_key(self) -> str | None:
        """The setting with the component's own options."""
        if self.many:
            return None
        return OPTIONS_KEYS.get(self.key, f"{self.key}_options")

    @property
    def on_offer(self) -> tuple[str, ...]:
        """All that a component may ask for."""
        return (*self.offers, *self.settings)


OPTIONS_KEYS = {
    "model_type": "model_options",
    "dataset_type": "dataset_options",
    "data_distribution_kind": "partition_options",
    "loss_function": "loss_options",
    "sensitivity_policy": "sensitivity_options",
    "aggregation_strategy": "aggregation_options",
    "federated_learning_topology": "topology_options",
    "chunk_reconstruction": "reconstruction_options",
}
"""Where a setting's options are not simply called ``<key>_options``."""

LABEL_SHARES = tuple(str(percentage) for percentage in range(10, 100, 10))

_SCORE_OFFERS = (
    "gradient_P", "before_P", "after_P", "change_P", "withheld_P", "gradient_C", "before_C", "after_C", "change_C",
    "withheld_C", "distances_C", "ages_C", "layout", "parameter_bounds", "num_chunks", "first_chunk", "round_index",
    "client", "rng",
)  # fmt: skip

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("model", "model_type", "learning/models", ("input_shape", "num_classes", "task"), "an nn.Module"),
        Kind("task", "task", "learning/tasks", (), "a Task"),
        Kind(
            "dataset", "dataset_type", "learning/datasets",
            ("data_dir", "seed", "download", "task", "task_targets"), "a Dataset",
            settings=("synthetic_samples", "synthetic_test_samples", "synthetic_classes", "synthetic_channels",
                      "synthetic_size", "tokenizer"),
        ),
        Kind(
            "tokenizer", "tokenizer", "learning/tokenizers", ("documents", "data_dir"),
            "a tokenizer: encode(document), token_bytes",
        ),
        Kind(
            "partition", "data_distribution_kind", "learning/partitions",
            ("targets_S", "clients_S", "num_classes", "number_of_clients", "rng", "data_dir"),
            "a list of index arrays, one for each client, disjoint and none empty",
            settings=("dirichlet_beta", "data_distribution_kind"),
            spelled={"iid-diff-quantity": "iid_diff_quantity"} | dict.fromkeys(LABEL_SHARES, "label_share"),
        ),
        Kind(
            "loss", "loss_function", "learning/losses", ("outputs", "targets"), "a scalar, the mean over the batch",
            spelled={"CrossEntropy": "cross_entropy", "SmoothCrossEntropy": "smooth_cross_entropy"},
        ),
        Kind(
            "metric", "metrics", "learning/metrics", ("outputs", "targets", "num_classes", "loss_sum", "token_bytes_V"),
            "(sum, weight)", many=True,
        ),
        Kind("score", "chunk_score", "methods/scores", _SCORE_OFFERS, "scores (C,), finite; larger goes first"),
        Kind(
            "policy", "sensitivity_policy", "methods/policies",
            ("scores_C", "ages_C", "num_chunks", "round_index", "client", "rng"), "K, or (K, reason)",
            settings=("sensitivity_percentage", "sensitivity_energy", "sensitivity_threshold", "sensitivity_schedule"),
        ),
        Kind("encoding", "chunk_encoding", "methods/encodings", (), "a codec: encode(values, sizes_K), decode(...)"),
        Kind(
            "exchange_rule", "chunk_reconstruction", "methods/exchange_rules", (), "an ExchangeRule",
            settings=(
                "withheld_share", "withheld_fading", "downlink_sensitivity_percentage", "catch_up", "stale_copy_step",
                "relay_step",
            ),
        ),
        Kind(
            "aggregation", "aggregation_strategy", "methods/aggregation", ("values_NK", "weights_N"),
            "the aggregate (K,) of one chunk", spelled={"FedAvg": "fedavg", "FedProx": "fedprox"},
        ),
        Kind(
            "server_optimizer", "server_optimizer", "methods/server_optimizers",
            ("change_P", "sent_C", "state", "round_index", "layout"), "(step_P, state)",
        ),
        Kind(
            "learning_rate_schedule", "learning_rate_schedule", "methods/schedules", ("round_index", "rounds"),
            "the factor of a round's rate",
        ),
        Kind(
            "server_learning_rate_schedule", "server_learning_rate_schedule", "methods/schedules",
            ("round_index", "rounds"), "the factor of a round's rate",
        ),
        Kind(
            "topology", "federated_learning_topology", "methods/topologies", ("number_of_clients", "rng"),
            "edges, as pairs of clients", settings=("k_value", "adjacency_matrix_file_name"),
        ),
        Kind("recorder", "recorders", "recording/recorders", ("folder", "settings"), "a Recorder", many=True),
    )
}  # fmt: skip
"""All kinds by name."""

KIND_OF_KEY: Mapping[str, Kind] = {kind.key: kind for kind in KINDS.values()}


@dataclass(frozen=True)
class Signature:
    """What a component asks for, and its line of help."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    takes_any: bool
    """Whether it takes options of any name."""
    help: str
    types: Mapping[str, str] = field(default_factory=dict)
    """How the types of its parameters are written, where they are."""

    @property
    def names(self) -> tuple[str, ...]:
        """All parameters."""
        return (*self.required, *self.optional)


@cache
def builtin_names(kind: Kind) -> tuple[str, ...]:
    """The built-in components of a kind, as they are spelled in settings."""
    stems = sorted(path.stem for path in (ROOT / kind.folder).glob("*.py") if not path.stem.startswith("_"))
    spelled = set(kind.spelled.values())
    return (*(stem for stem in stems if stem not in spelled), *kind.spelled)


def spelling(kind: Kind, word: str) -> str | None:
    """The built-in name that ``word`` means, whatever its capitals; None if there is none."""
    return {name.lower(): name for name in builtin_names(kind)}.get(word.lower())


def is_place(word: str) -> bool:
    """Whether a value says where a component is, instead of its name."""
    return PLACE.fullmatch(word) is not None


@cache
def entry_points(kind: Kind) -> Mapping[str, metadata.EntryPoint]:
    """What installed packages offer, by name. A built-in name cannot be taken over."""
    found = metadata.entry_points(group=f"fedchunk.{kind.name}")
    return {point.name: point for point in found if spelling(kind, point.name) is None}


def is_known(kind: Kind, word: str) -> bool:
    """Whether a value may stand for a component of this kind. A place is believed: :mod:`components` looks there."""
    return spelling(kind, word) is not None or is_place(word) or word in entry_points(kind)


def _stem(kind: Kind, name: str) -> str:
    return kind.spelled.get(name, name)


def load_builtin(kind: Kind, name: str) -> Callable[..., Any]:
    """The function or class behind a built-in name."""
    stem = _stem(kind, name)
    module = importlib.import_module(f"{PACKAGE}.{kind.folder.replace('/', '.')}.{stem}")
    found: Callable[..., Any] = getattr(module, stem)
    return found


@cache
def builtin_signature(kind: Kind, name: str) -> Signature:
    """What a built-in asks for, read from its source: nothing is imported."""
    stem, tree = _stem(kind, name), _tree(kind, name)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == stem:
            return _signature_of(node, ast.get_docstring(tree) or ast.get_docstring(node) or "")
    raise AssertionError(f"{kind.folder}/{stem}.py has no {stem}")


def load_beside(kind: Kind, name: str, function: str) -> Callable[..., Any] | None:
    """Another public function in a built-in's file, such as ``pretrained`` of a model; None if it has none."""
    if not has_function(kind, name, function):
        return None
    found: Callable[..., Any] = getattr(importlib.import_module(load_builtin(kind, name).__module__), function)
    return found


def has_function(kind: Kind, name: str, function: str) -> bool:
    """Whether a built-in's file has another public function of this name; nothing is imported."""
    if spelling(kind, name) is None:
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in _tree(kind, name).body)


@cache
def constants(kind: Kind, name: str) -> Mapping[str, Any]:
    """The plain values that a built-in's file gives names in capitals: facts that are read without importing it."""
    found: dict[str, Any] = {}
    for node in _tree(kind, name).body if spelling(kind, name) else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            with suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


@cache
def _tree(kind: Kind, name: str) -> ast.Module:
    return ast.parse((ROOT / kind.folder / f"{_stem(kind, name)}.py").read_text(encoding="utf-8"))


@cache
def help_of(kind: Kind, name: str) -> str:
    """The line of help of a built-in: the first line of its file's docstring."""
    return builtin_signature(kind, name).help


def _signature_of(node: ast.ClassDef | ast.FunctionDef, text: str) -> Signature:
    if isinstance(node, ast.ClassDef):
        inner = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not inner:
            return Signature((), (), False, first_line(text))
        arguments, skip = inner[0].args, 1
    else:
        arguments, skip = node.args, 0
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][skip:]
    with_default = len(arguments.defaults)
    required = positional[: len(positional) - with_default]
    optional = positional[len(positional) - with_default :]
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        (required if default is None else optional).append(argument.arg)
    types = {
        argument.arg: ast.unparse(argument.annotation)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        if argument.annotation is not None
    }
    return Signature(tuple(required), tuple(optional), arguments.kwarg is not None, first_line(text), types)


def signature_of(component: Callable[..., Any]) -> Signature:
    """What any function or class asks for. Raises ValueError or TypeError where Python cannot tell."""
    required: list[str] = []
    optional: list[str] = []
    takes_any = False
    types: dict[str, str] = {}
    for parameter in inspect.signature(component).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            (required if parameter.default is parameter.empty else optional).append(parameter.name)
            types[parameter.name] = _written(parameter.annotation)
    return Signature(tuple(required), tuple(optional), takes_any, first_line(inspect.getdoc(component) or ""), types)


def _written(annotation: Any) -> str:
    """The name of a type that means the same everywhere; else nothing."""
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return name if name in ("float", "int", "bool", "str") else ""


def problems(
    kind: Kind, signature: Signature, options: Mapping[str, Any], *, built_in: bool = False
) -> list[tuple[str, str]]:
    """What is wrong between a component and its options: each with the setting that it is about."""
    found: list[tuple[str, str]] = []
    options_key = kind.options_key or kind.key
    offered = ", ".join(kind.on_offer) or "nothing"
    for name in signature.required:
        if name in kind.on_offer or name in options:
            continue
        if built_in:
            found.append((kind.key, f"needs the option {name!r}; give it in {options_key}"))
        else:
            near = _near(name, kind.on_offer)
            how = f", or give it in {options_key}" if kind.options_key else ""
            message = f"asks for {name!r}, which is not on offer to a {kind.name}{near}; on offer: {offered}{how}"
            found.append((kind.key, message))
    for name in options:
        own = [parameter for parameter in signature.names if parameter not in kind.on_offer]
        if name in kind.on_offer:
            found.append(
                (options_key, f"{name!r} comes from fedchunk and cannot be an option; allowed: {_listed(own)}")
            )
        elif name not in signature.names and not signature.takes_any:
            found.append((options_key, f"got {name!r}{_near(name, own)}; allowed: {_listed(own)}"))
    return found


def _near(word: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(names), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no options: it has none"


def first_line(text: str) -> str:
    """The first line of a docstring."""
    return text.strip().partition("\n")[0]
