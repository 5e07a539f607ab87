"""A run's settings in words, for the description that MLflow shows: what differs from the plain case, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedchunk.orchestrator.contract.ports import FederationInfo
from fedchunk.orchestrator.registry import KINDS, builtin_signature, help_of, spelling

Flat = Mapping[str, Any]
"""The settings by their flat names."""

AGREEMENTS = {
    "float32": "agreed on with float32 scores",
    "byte": "agreed on with scores of a byte",
    "none": "predicted by the coordinator without scores",
}


def note(flat: Flat, info: FederationInfo) -> str:
    """The description of a run, as Markdown."""
    clients = f"**{len(info.samples_per_client)} clients** train `{flat['model_type']}` on `{info.data.name}`"
    facts = [
        f"{info.spec.num_parameters:,} parameters; {_chunks(flat, info.layout.num_rows)}",
        *_at_home(flat, info),
        *_exchange(flat),
        f"{info.data.train_samples:,} training samples, {info.data.test_samples:,} test samples",
        f"{info.number_of_actors} actors, backend {info.backend}, device {info.device}",
    ]
    return "\n".join(
        [
            f"{clients} (`{flat['data_distribution_kind']}`) for at most {flat['federated_learning_rounds']} rounds.",
            "",
            *(f"- {fact}" for fact in facts),
            "",
            "Artifacts: `report.html` and `figures/` to look at, `rounds.csv` as a table, `tables/` with every choice, "
            "`config.yaml` to run it again.",
        ]
    )


def _named(flat: Flat, kind: str, name: str) -> str:
    """A component by name, with its line of help where it is built in, and with the settings and options it gets."""
    one = KINDS[kind]
    options = dict(flat[one.options_key]) if one.options_key else {}
    if spelling(one, name) is None:
        said = f"`{name}` (the user's own)"
    else:
        said = f"{name}: {help_of(one, name).rstrip('.')}"
        asked = builtin_signature(one, name).names
        options = {key: flat[key] for key in one.settings if key in asked and flat[key] is not None} | options
    return said + (f" ({', '.join(f'{key} {value}' for key, value in options.items())})" if options else "")


def _chunks(flat: Flat, num_chunks: int) -> str:
    if not flat["chunking"]:
        return "no chunking: the whole model in every round"
    policy = flat["sensitivity_policy"] or ("energy" if flat["dynamic_sensitivity_percentage"] else "fixed")
    ceiling = f"{flat['sensitivity_percentage']:g} %"
    sent = ceiling if policy == "fixed" else f"at most {ceiling}, by the policy {_named(flat, 'policy', policy)}"
    budget_mb = flat["sensitivity_budget_mb"]
    cut = ", cut at tensors' borders" if flat["chunk_layout"] == "tensors" else ""
    return f"{num_chunks} chunks{cut}, of which a client sends {sent}" + (
        f", {budget_mb:g} MB in all" if budget_mb else ""
    )


def _at_home(flat: Flat, info: FederationInfo) -> list[str]:
    """What stays with the clients, and what with everybody as it is, if anything does."""
    frozen = [f"{info.spec.num_frozen:,} values more are frozen"] if info.spec.num_frozen else []
    if (home := info.spec.home) is None:
        return frozen
    return [
        *frozen,
        f"{home.num_parameters:,} parameters more stay with each client: {', '.join(flat['local_parameters'])}",
    ]


def _exchange(flat: Flat) -> list[str]:
    """Topology, receiver's rule, agreement and encoding, as far as they are not the plain ones."""
    topology = flat["federated_learning_topology"]
    facts = [f"peers: {_named(flat, 'topology', topology)}"] if topology != "star" else []
    if flat["aggregation_strategy"] not in ("FedAvg", "FedProx"):
        facts.append(f"aggregated by {_named(flat, 'aggregation', flat['aggregation_strategy'])}")
    if flat["server_optimizer"] != "none":
        facts.append(f"server optimizer {_named(flat, 'server_optimizer', flat['server_optimizer'])}")
    if not flat["chunking"]:
        return facts
    if flat["chunk_reconstruction"] != "contributors":
        facts.append(f"exchange rule {_named(flat, 'exchange_rule', flat['chunk_reconstruction'])}")
    if flat["chunk_agreement"] == "consensus":
        asked = flat["agreement_scores"] != "none" and flat["agreement_interval"] > 1
        every = f" every {flat['agreement_interval']} rounds" if asked else ""
        facts.append(f"one set of chunks for all clients (consensus), {AGREEMENTS[flat['agreement_scores']]}{every}")
    if flat["chunk_encoding"] != "float32" or flat["chunk_compression"] != "none":
        compressed = "" if flat["chunk_compression"] == "none" else f", compressed with {flat['chunk_compression']}"
        facts.append(f"values travel as {flat['chunk_encoding']}{compressed}")
    return facts
