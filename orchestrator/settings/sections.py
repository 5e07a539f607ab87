"""The settings as small frozen sections. Each part of the program gets its own section only.

The YAML file is flat, because field names are unique over all sections; :mod:`settings.loading` splits it. Names
are FedPilot's where FedPilot has one. A field's description is what ``fedchunk schema`` and editors show.
Ranges of single fields are here; rules that join several fields are in :mod:`settings.rules`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fedchunk.orchestrator.settings.federation import FederationSettings
from fedchunk.orchestrator.settings.section import Section, options_of
from fedchunk.orchestrator.settings.values import (
    MOST,
    AnyCase,
    Count,
    NameOf,
    Names,
    Options,
    Percentages,
    Schedule,
    text_of,
)

__all__ = ["ChunkingSettings", "DataSettings", "FederationSettings", "Section", "TrainingSettings"]


class ChunkingSettings(Section):
    """What is cut, scored, selected and put together again."""

    chunking: bool = Field(False, description="Exchange chunks. false: the whole model, every round.")
    chunking_parts: Count = Field(100, ge=1, le=MOST, description="Number of chunks the model is cut into.")
    chunk_layout: Annotated[Literal["flat", "tensors"], AnyCase()] = Field(
        "flat", description="flat: chunks of one size. tensors: none holds values of two parameters; one each at least."
    )
    chunking_with_gradients: bool = Field(
        True, description="Score a chunk by the L2 norm of its gradient; false: by its distance_metric."
    )
    chunking_random_section: bool = Field(False, description="Choose chunks at random, whatever else is said.")
    chunk_score: Annotated[str, NameOf("score")] | None = Field(
        None,
        description="Score by name; null: as the two switches above say. update: norm of this round's change. "
        "accumulated: norm of the change since the chunk was last sent. relative: update over weight norm. "
        "layerwise: accumulated in units of each layer. fisher: gradient times weight. round_robin: in turn.",
    )
    chunk_score_options: Options = options_of("score")
    chunk_age_exponent: float = Field(
        0.0, ge=0, le=10, description="Multiply a score by (rounds since sent + 1) to this power."
    )
    chunk_max_age: Count | None = Field(
        None, ge=1, le=MOST, description="A chunk that was not sent for this many rounds goes first."
    )
    sensitivity_percentage: float = Field(
        100.0, gt=0, le=100, description="Percentage of its chunks that a client sends in a round."
    )
    dynamic_sensitivity_percentage: bool = Field(
        False,
        description="Each client sends the fewest chunks that hold sensitivity_energy of its summed squared "
        "scores; sensitivity_percentage stays the ceiling.",
    )
    sensitivity_energy: float = Field(
        0.95, gt=0, le=1, description="Share of the summed squared scores that dynamic sensitivity keeps."
    )
    distance_metric: Annotated[Literal["cosine", "euclidean", "coordinate"], AnyCase()] = Field(
        "cosine", description="Distance between a chunk after and before local training."
    )
    sensitivity_policy: Annotated[str, NameOf("policy")] | None = Field(
        None,
        description="How many chunks go; null: energy if dynamic_sensitivity_percentage, else fixed. "
        "sensitivity_percentage stays the ceiling of every policy.",
    )
    sensitivity_options: Options = options_of("policy")
    sensitivity_threshold: float | None = Field(
        None, gt=0, description="Policy threshold: send chunks whose score is at least this."
    )
    sensitivity_schedule: Percentages = Field(
        (), description="Policy schedule: percentages of the first rounds, as [50, 20, 5]; the last one stays."
    )
    sensitivity_budget_mb: float | None = Field(
        None, gt=0, description="Cap on the uplink of the whole run, all clients together, in MB (10^6 bytes)."
    )
    sensitivity_warmup_rounds: Count = Field(
        0,
        ge=0,
        le=MOST,
        description="Rounds at the start that send sensitivity_warmup_percentage, whatever the policy.",
    )
    sensitivity_warmup_percentage: float = Field(
        100.0, gt=0, le=100, description="Percentage of the chunks sent in warm-up rounds."
    )
    chunk_reconstruction: Annotated[str, NameOf("exchange_rule")] = Field(
        "contributors",
        description="contributors: a chunk becomes the mean of those who sent it. own_weights: whoever did not "
        "send it counts with the receiver's own weights. error_feedback (star): clients send changes, divided by the "
        "whole cohort, and keep what was not sent. stale_copies (peer to peer): neighbours add up what they hear. "
        "relay (peer to peer): error_feedback without a star, messages are handed on to all; relay_tree: to a root.",
    )
    reconstruction_options: Options = options_of("exchange rule")
    stale_copy_step: Annotated[Literal["auto"], AnyCase()] | Annotated[float, Field(gt=0, le=1)] = Field(
        "auto",
        description="Step of stale_copies towards the neighbours, above 0 and at most 1. auto: 1.7 times the share of "
        "the chunks that is sent, at most 0.7; where a policy decides how many are, at most 0.3.",
    )
    relay_step: float = Field(
        1.0,
        gt=0,
        le=2,
        description="Step of relay along the peers' mean change; 1.2 where few percent of the chunks go.",
    )
    downlink_sensitivity_percentage: float | None = Field(
        None,
        gt=0,
        le=100,
        description="error_feedback, relay_tree: percentage of the chunks that the coordinator (the root) sends; null: "
        "all that changed.",
    )
    withheld_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="error_feedback, stale_copies, relay, relay_tree: clients train from what others know plus "
        "this share of what they withhold, so as not to learn it again while it waits; 0: from the former alone.",
    )
    withheld_fading: float = Field(
        1.0,
        ge=0,
        le=1,
        description="error_feedback: what a client withholds is multiplied by this for each round in which it did not "
        "take part; 0: forgotten as soon as it misses one.",
    )
    catch_up: Annotated[Literal["exact", "approximate"], AnyCase()] = Field(
        "exact",
        description="error_feedback: what clients get that missed rounds. exact: what was told meanwhile, or values, "
        "whichever takes fewer bytes: the same bits as the others'. approximate: also an encoded difference to the "
        "first model, where that takes fewer: other bits.",
    )
    chunk_agreement: Annotated[Literal["independent", "consensus"], AnyCase()] = Field(
        "independent", description="consensus (star): the coordinator picks one set of chunks for all clients."
    )
    agreement_scores: Annotated[Literal["float32", "byte", "none"], AnyCase()] = Field(
        "byte",
        description="What clients send to agree: a float32 or a byte (logarithmic) per chunk; none: nothing, the "
        "coordinator predicts scores from the updates it has seen.",
    )
    agreement_interval: Count = Field(
        1, ge=1, le=MOST, description="Clients send scores every so many rounds; between them they are predicted."
    )
    chunk_encoding: Annotated[str, NameOf("encoding")] = Field(
        "float32",
        description="How values travel, both directions. float16, bfloat16: 2 bytes each. int8, int4, int2, ternary: "
        "few levels and a scale per chunk. sign, drive, stc: one bit each. topk_in_chunk: the largest of each chunk. "
        "qsgd: drawn levels.",
    )
    chunk_encoding_options: Options = options_of("encoding")
    chunk_compression: Annotated[Literal["none", "lz4", "zstd"], AnyCase()] = Field(
        "none", description="Lossless compression of a message's values, used where it makes them smaller."
    )

    @property
    def score(self) -> str:
        """The rule in force: ``chunk_score``, or what FedPilot's switches say."""
        if self.chunk_score is not None:
            return self.chunk_score
        if self.chunking_random_section:
            return "random"
        return "gradient" if self.chunking_with_gradients else "distance"

    @property
    def policy(self) -> str:
        """The policy in force: ``sensitivity_policy``, or what FedPilot's switch says."""
        if self.sensitivity_policy is not None:
            return self.sensitivity_policy
        return "energy" if self.dynamic_sensitivity_percentage else "fixed"

    @property
    def copy_step(self) -> float:
        """``stale_copy_step`` in force."""
        if self.stale_copy_step != "auto":
            return self.stale_copy_step
        later = self.sensitivity_schedule if self.policy == "schedule" else ()
        share = min((*later, self.sensitivity_percentage)) / 100
        return min(0.7 if self.policy in ("fixed", "schedule") else 0.3, 1.7 * share)

    @property
    def agrees(self) -> bool:
        """Whether one set of chunks is chosen for all clients."""
        return self.chunking and self.chunk_agreement == "consensus"


class TrainingSettings(Section):
    """What one client does with its samples."""

    model_type: Annotated[str, NameOf("model")] = Field(
        "mlp", description="The model, fitted to the data set's channels, size and classes."
    )
    model_options: Options = Field(default_factory=dict, description="Options of the model, such as {width: 24}.")
    local_parameters: Names = Field(
        (), description="Names of parameters and buffers that stay with each client, as [head.*, *.bn1.*]."
    )
    lora_rank: Count | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Train low-rank adapters of this rank (peft) beside the model's layers, which are frozen and never "
        "sent; null: the model itself.",
    )
    lora_alpha: float | None = Field(
        None, gt=0, description="The adapters' product is multiplied by lora_alpha / lora_rank; null: by 1."
    )
    lora_targets: Names = Field(
        (), description="Layers with an adapter, by the ends of their names, as [qkv, down]; []: as peft knows them."
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Share of an adapter's input that is dropped in training.")
    pretrained_models: bool = Field(
        False, description="Start from torchvision's weights; needs them on disk, or download: true."
    )
    optimizer: Annotated[Literal["sgd", "adam", "adamw", "rmsprop"], AnyCase()] = Field(
        "sgd", description="Local optimizer; its state starts afresh every round, but for momentum_start."
    )
    learning_rate: float = Field(0.01, gt=0, description="Step of the local optimizer.")
    learning_rate_schedule: Schedule = Field(
        "constant",
        description="How learning_rate changes over rounds: a name, or the rates of the first rounds; the last stays.",
    )
    learning_rate_schedule_options: Options = Field(
        default_factory=dict, description="Options of the schedule, such as {final: 0.1} of cosine."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of sgd and rmsprop.")
    momentum_start: Annotated[Literal["zero", "quasi_global"], AnyCase()] = Field(
        "zero",
        description="What the momentum of sgd starts from in a round. quasi_global: from how far the client's model "
        "has moved between its rounds, per step; costs no bytes, and wants a lower learning_rate.",
    )
    weight_decay: float | None = Field(None, ge=0, description="Weight decay; null is 0.")
    loss_function: Annotated[str, NameOf("loss")] | None = Field(
        None, description="null: that of the task, such as CrossEntropy. SmoothCrossEntropy smooths labels by 0.1."
    )
    loss_options: Options = options_of("loss")
    number_of_epochs: Count = Field(1, ge=1, le=MOST, description="Local epochs in a round.")
    local_steps: Count | None = Field(
        None, ge=1, le=MOST, description="Batches of local training in a round; null: number_of_epochs."
    )
    train_batch_size: Count = Field(64, ge=1, le=MOST, description="Samples in a training batch.")
    test_batch_size: Count = Field(128, ge=1, le=MOST, description="Samples in an evaluation batch.")
    max_grad_norm: float | None = Field(
        None, gt=0, description="Clip each batch's gradient to this L2 norm; scores see it before clipping."
    )
    aggregation_strategy: Annotated[str, NameOf("aggregation")] = Field(
        "FedAvg", description="FedProx adds mu/2 |w - w_start|^2 to the local loss."
    )
    aggregation_options: Options = Field(
        default_factory=dict, description="Options of the aggregation, such as {beta: 0.1} of trimmed_mean."
    )
    mu: float = Field(0.01, ge=0, description="Weight of FedProx's proximal term.")
    deterministic: bool = Field(True, description="Refuse algorithms that may give other bits in another run.")
    vectorize_clients: Annotated[Literal["auto", "on", "off"], AnyCase()] = Field(
        "auto",
        description="Train the clients of a group at once, as stacked weights. auto: where the model's layers make it "
        "faster; on: wherever it can be done. Equal to one by one up to float32 rounding (of TF32 in a GPU's "
        "convolutions).",
    )
    mixed_precision: Annotated[Literal["none", "bfloat16"], AnyCase()] = Field(
        "none", description="Type of activations in training; weights, gradients and sums stay float32."
    )

    @property
    def carries_momentum(self) -> bool:
        """Whether clients keep their momentum from round to round."""
        return self.momentum_start == "quasi_global"

    @property
    def proximal_mu(self) -> float:
        """``mu`` where it counts: 0 for FedAvg."""
        return self.mu if self.aggregation_strategy == "FedProx" else 0.0


class DataSettings(Section):
    """Which samples there are, and who holds which."""

    task: Annotated[str, NameOf("task")] = Field(
        "classification",
        description="What the targets of samples are. classification: a label each. regression: numbers. multilabel: 0 "
        "or 1 for each label. language_model: the next token at each place. Loss, metrics and target_metric follow.",
    )
    task_options: Options = options_of("task")
    dataset_type: Annotated[str, NameOf("dataset")] = Field(
        "digits",
        description="digits is shipped with fedchunk; synthetic is made on the spot; imagefolder, table, arrays, leaf, "
        "text, huggingface read your own files.",
    )
    dataset_options: Options = options_of("data set")
    tokenizer: Annotated[str, NameOf("tokenizer")] = Field(
        "byte", description="What makes tokens of text. byte: a token is a byte, and there are 256."
    )
    tokenizer_options: Options = options_of("tokenizer")
    data_dir: str = Field("data", min_length=1, description="Folder of the data set's files.")
    download: bool = Field(False, description="Allow a download of data or weights that are not there.")
    transform_input_size: Count | None = Field(
        None, ge=1, le=4096, description="Resize images to this side in pixels; null keeps their size."
    )
    data_distribution_kind: Annotated[str, NameOf("partition"), BeforeValidator(text_of)] = Field(
        "iid",
        description="10..90: each client holds that percentage of the labels (lower is more uneven); dir: Dirichlet "
        "over labels; iid-diff-quantity: Dirichlet over sizes; natural: the data's own clients; file: as a file says.",
    )
    partition_options: Options = options_of("partition")
    dirichlet_beta: float = Field(0.1, gt=0, description="Concentration for dir and iid-diff-quantity.")
    client_test_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of each client's own samples that does not train, and that its own model is measured on.",
    )
    synthetic_samples: Count = Field(2000, ge=1, le=MOST, description="Training samples of the synthetic data set.")
    synthetic_test_samples: Count = Field(500, ge=1, le=MOST, description="Test samples of the synthetic data set.")
    synthetic_classes: Count = Field(10, ge=2, le=MOST, description="Classes of the synthetic data set.")
    synthetic_channels: Count = Field(1, ge=1, le=MOST, description="Channels of the synthetic images.")
    synthetic_size: Count = Field(8, ge=1, le=4096, description="Side of the synthetic images in pixels.")
