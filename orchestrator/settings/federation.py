"""The section of who takes part, for how long, how updates count, and what a run is judged by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedchunk.orchestrator.settings.section import Section, options_of
from fedchunk.orchestrator.settings.values import MOST, AnyCase, Count, NameOf, Options, Schedule, Text, WordOrFile


class FederationSettings(Section):
    """Who takes part, for how long, and how their updates count."""

    federation_id: Text = Field("", max_length=200, description="A name for the run.")
    random_seed: Count = Field(42, ge=0, lt=2**63, description="All randomness comes from this number.")
    number_of_clients: Count = Field(10, ge=1, le=MOST, description="Clients of the federation.")
    client_sampling_rate: float = Field(1.0, gt=0, le=1, description="Share of the clients that takes part in a round.")
    federated_learning_rounds: Count = Field(8, ge=1, le=MOST, description="Rounds at most.")
    federated_learning_schema: Annotated[
        Literal["TraditionalFederatedLearning", "DecentralizedFederatedLearning"], AnyCase()
    ] = Field(
        "TraditionalFederatedLearning",
        description="Traditional: a coordinator aggregates (star). Decentralized: peers exchange with neighbours.",
    )
    federated_learning_topology: Annotated[str, NameOf("topology")] = Field(
        "star", description="Who may send to whom; all but star are for DecentralizedFederatedLearning."
    )
    topology_options: Options = options_of("topology")
    k_value: Count | None = Field(None, ge=1, le=MOST, description="Neighbours of each client in k_connected.")
    adjacency_matrix_file_name: str | None = Field(
        None, min_length=1, description="CSV file of 0 and 1, one row per client, for topology custom."
    )
    server_learning_rate: float = Field(
        1.0, gt=0, le=100, description="Step of the coordinator's model towards the clients' mean."
    )
    server_learning_rate_schedule: Schedule = Field(
        "constant",
        description="How server_learning_rate changes over rounds: a name, or a list of the first rounds' rates.",
    )
    server_learning_rate_schedule_options: Options = options_of("schedule")
    server_optimizer: Annotated[str, NameOf("server_optimizer")] = Field(
        "none", description="What the coordinator makes of the clients' mean change before its step."
    )
    server_optimizer_options: Options = Field(
        default_factory=dict, description="Options of the server optimizer, such as {beta_1: 0.9}."
    )
    initial_model: Annotated[str, WordOrFile(".safetensors", "broadcast", "seed")] = Field(
        "broadcast",
        description="broadcast: clients download the initial model. seed: they make it themselves from random_seed. "
        "A .safetensors file, such as a run's weights: its values, which clients download.",
    )
    initial_model_known: bool = Field(
        False, description="Clients have the file of initial_model already, and do not download it."
    )
    aggregation_sample_scaling: bool = Field(False, description="Weigh a client by its number of samples.")
    target_metric: str | None = Field(
        None,
        min_length=1,
        description="The metric that a run is judged by: stopping, progress, summary and compare follow it; null: that "
        "of the task, such as accuracy. A built-in metric, or one of metrics as it is called in tables.",
    )
    target_direction: Annotated[Literal["higher", "lower"], AnyCase()] | None = Field(
        None, description="What is better of target_metric; null: as the metric says, which only built-in ones do."
    )
    stop_avg_accuracy: float | None = Field(
        None, gt=0, le=1, description="Stop once the coordinator's model (or the mean of all peers') is this accurate."
    )
    stop_target: float | None = Field(
        None,
        description="Stop once target_metric is this good, by the coordinator's model (or the mean of all peers').",
    )
    patience: Count | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Stop after so many evaluated rounds without a better target_metric; null: never.",
    )
    evaluate_clients: bool = Field(
        False, description="Also measure the clients' own models after each round; peer to peer this is always done."
    )
    evaluation_interval: Count = Field(
        1, ge=1, le=MOST, description="Evaluate every so many rounds, and after the last."
    )
    final_average: bool = Field(
        False,
        description="Peer to peer: after the last round all get the exact mean of their models, which goes up and down "
        "a spanning tree of the topology and is billed to that round.",
    )
    final_average_encoding: Annotated[Literal["float32", "float16", "int8"], AnyCase()] = Field(
        "float32", description="How the values of final_average travel; of int8, each 256 have a scale."
    )
    clients_per_group: Count | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Consecutive clients of a round that are trained at once and whose updates are added to each other "
        "first; null: by the number of parameters. Part of what makes bits repeat.",
    )
    max_update_value: float = Field(
        1e6, gt=0, description="Largest absolute value in a client's update; one with a larger value is left out."
    )
    max_update_ratio: float | None = Field(
        50.0,
        gt=1,
        description="star, relay: how many times the median of a round the largest value of an update may be (of "
        "changes: for each local step); one with a larger value is left out; null: no limit.",
    )
    min_completion_rate: float = Field(
        0.0, ge=0, le=1, description="Share of a round's clients that must finish; at least one always must."
    )

    @property
    def stop_at(self) -> float | None:
        """How good ``target_metric`` must be for the run to end; None: that ends no run."""
        return self.stop_avg_accuracy if self.stop_target is None else self.stop_target

    @property
    def initial_file(self) -> str | None:
        """The file with the first model's values; None where they come from the seed."""
        return None if self.initial_model in ("broadcast", "seed") else self.initial_model

    @property
    def clients_have_first_model(self) -> bool:
        """Whether clients need not download the first model."""
        return self.initial_model == "seed" or (self.initial_file is not None and self.initial_model_known)

    @property
    def peer_to_peer(self) -> bool:
        """Whether clients exchange with neighbours and there is no coordinator's model."""
        return self.federated_learning_schema == "DecentralizedFederatedLearning"
