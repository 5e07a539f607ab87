"""A run's settings in words, for the description that MLflow shows: what differs from the plain case, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedchunk.orchestrator.contract.ports import FederationInfo

Flat = Mapping[str, Any]
"""The settings by their flat names."""

TOPOLOGIES: Mapping[str, Callable[[Flat], str]] = {
    "ring": lambda flat: "peers in a ring, each with the one before and the one after it",
    "k_connected": lambda flat: f"peers, each with {flat['k_value']} neighbours drawn at random (k_connected)",
    "complete": lambda flat: "peers, everybody with everybody (complete)",
    "custom": lambda flat: f"peers with the links of `{flat['adjacency_matrix_file_name']}` (custom)",
}
"""How clients are linked; a star goes without saying."""

POLICIES: Mapping[str, Callable[[Flat], str]] = {
    "energy": lambda flat: f"the fewest that hold {100 * flat['sensitivity_energy']:g} % of the energy",
    "threshold": lambda flat: f"those with a score of {flat['sensitivity_threshold']:g} or more",
    "knee": lambda flat: "as many as there are before the knee of the energy curve",
    "utopia": lambda flat: "the best trade of energy for bytes (utopia)",
    "schedule": lambda flat: f"{', '.join(f'{each:g}' for each in flat['sensitivity_schedule'])} % in the first rounds",
    "budget": lambda flat: "what the budget allows",
}
"""What a client sends by each policy; ``fixed`` is a percentage."""

RECONSTRUCTIONS = {
    "own_weights": "whoever did not send a chunk counts with the receiver's own weights (own_weights)",
    "error_feedback": "clients send changes, and what is not sent is kept for later (error_feedback)",
    "stale_copies": "peers keep what they last heard of each neighbour (stale_copies, step {stale_copy_step:g})",
}
"""What becomes of chunks that were not sent; ``contributors`` is the plain case."""

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


def _chunks(flat: Flat, num_chunks: int) -> str:
    if not flat["chunking"]:
        return "no chunking: the whole model in every round"
    policy = flat["sensitivity_policy"] or ("energy" if flat["dynamic_sensitivity_percentage"] else "fixed")
    ceiling = f"{flat['sensitivity_percentage']:g} %"
    sent = ceiling if policy == "fixed" else f"{POLICIES[policy](flat)}, at most {ceiling}"
    budget_mb = flat["sensitivity_budget_mb"]
    return f"{num_chunks} chunks, of which a client sends {sent}" + (f", {budget_mb:g} MB in all" if budget_mb else "")


def _exchange(flat: Flat) -> list[str]:
    """Topology, receiver's rule, agreement and encoding, as far as they are not the plain ones."""
    topology = flat["federated_learning_topology"]
    facts = [TOPOLOGIES[topology](flat)] if topology != "star" else []
    if not flat["chunking"]:
        return facts
    if flat["chunk_reconstruction"] != "contributors":
        facts.append(RECONSTRUCTIONS[flat["chunk_reconstruction"]].format(**flat))
    if flat["chunk_agreement"] == "consensus":
        asked = flat["agreement_scores"] != "none" and flat["agreement_interval"] > 1
        every = f" every {flat['agreement_interval']} rounds" if asked else ""
        facts.append(f"one set of chunks for all clients (consensus), {AGREEMENTS[flat['agreement_scores']]}{every}")
    if flat["chunk_encoding"] != "float32" or flat["chunk_compression"] != "none":
        compressed = "" if flat["chunk_compression"] == "none" else f", compressed with {flat['chunk_compression']}"
        facts.append(f"values travel as {flat['chunk_encoding']}{compressed}")
    return facts
