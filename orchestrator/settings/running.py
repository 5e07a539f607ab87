"""The sections of what changes no result: processes and their limits, and what is recorded of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedchunk.orchestrator.settings.sections import Section
from fedchunk.orchestrator.settings.values import MOST, AnyCase, Count, NameOf, Names, RecordedChunks


class RuntimeSettings(Section):
    """Processes and their limits. Nothing here changes a result, but for ``device``."""

    device: Annotated[Literal["auto", "cpu", "cuda"], AnyCase()] = Field(
        "auto", description="auto: cuda where the cluster has a GPU."
    )
    number_of_actors: Count | None = Field(None, ge=1, le=4096, description="Client actors; null: as many as fit.")
    cpus_per_actor: float = Field(1.0, gt=0, description="CPU share that Ray reserves for a client actor.")
    gpus_per_actor: float | None = Field(
        None,
        gt=0,
        description="GPU share of a client actor; null: a whole one, or less where number_of_actors has to share.",
    )
    clients_per_call: Count | None = Field(
        None, ge=1, le=MOST, description="Clients that share one call to an actor, in whole groups; null: automatic."
    )
    torch_threads: Count = Field(
        1, ge=1, le=1024, description="torch threads of an actor; part of what makes bits repeat."
    )
    placement_group_strategy: Annotated[Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"], AnyCase()] = Field(
        "SPREAD", description="How Ray places the client actors on nodes."
    )
    startup_timeout_s: float = Field(180.0, gt=0, description="Limit for actors to be ready.")
    client_timeout_s: float = Field(600.0, gt=0, description="Longest limit for each client of a call to an actor.")
    client_timeout_least_s: float = Field(
        20.0, gt=0, description="Shortest limit of a call; in between it is 20 times as long as calls took so far."
    )
    stop_timeout_s: float = Field(
        10.0, ge=0, description="How long a run that is stopped (Ctrl-C, SIGTERM) may finish its round; 0: at once."
    )
    max_attempts: Count = Field(
        3, ge=1, le=100, description="How often a client is asked again when its actor is lost."
    )
    checkpoint_interval: Count | None = Field(
        None, ge=0, le=MOST, description="Rounds between checkpoints; 0: none; null: as often as takes 1 % of the time."
    )
    checkpoints_to_keep: Count = Field(2, ge=1, le=1000, description="The newest checkpoints that are kept.")
    max_run_restarts: Count = Field(
        3,
        ge=0,
        le=MOST,
        description="How often rounds are played again after a node or the coordinator was lost.",
    )
    object_store_memory_mb: Count | None = Field(
        None, ge=80, le=MOST, description="Ray's object store; null: Ray's default."
    )
    transport: Annotated[Literal["object_store", "tcp"], AnyCase()] = Field(
        "object_store",
        description="tcp: messages go through TCP sockets on this machine (with --local), to prove bytes.",
    )
    profile: bool = Field(False, description="Write where the time of the rounds went, as a table and a trace.")
    ray_dashboard: bool = Field(False, description="Start Ray's dashboard (on this machine only).")
    ray_dashboard_port: Count = Field(8265, ge=1, le=65535, description="Port of Ray's dashboard.")


class TrackingSettings(Section):
    """What is recorded, and where it can be looked at."""

    record_chunks: RecordedChunks = Field(
        "full",
        description="full: a row for each chunk, client and round; summary: one for each chunk and round; false: none.",
    )
    metrics: Annotated[Names, NameOf("metric")] = Field(
        (), description="What else is measured on the test set, beside accuracy and loss: names, as [f1_macro, top5]."
    )
    recorders: Annotated[Names, NameOf("recorder")] = Field(
        (), description="Who else is told of every round: names, as [jsonl]."
    )
    mlflow_enabled: bool = Field(True, description="Log to MLflow.")
    mlflow_tracking_uri: str | None = Field(
        None, min_length=1, description="MLflow store; null: MLFLOW_TRACKING_URI, or sqlite:///mlflow.db."
    )
    mlflow_finish_timeout_s: float = Field(
        30.0, gt=0, description="How long the end of a run waits for MLflow; the rest is for fedchunk sync."
    )
    mlflow_experiment_prefix: str = Field(
        "fedchunk", min_length=1, max_length=200, description="MLflow experiment that the run belongs to."
    )
