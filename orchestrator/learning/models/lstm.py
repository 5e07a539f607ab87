"""An LSTM for sequences of tokens: 820,450 values for 82 kinds of tokens."""

from __future__ import annotations

from torch import Tensor, nn

from fedchunk.orchestrator.learning.models._tokens import token_count, whole_numbers
from fedchunk.orchestrator.settings.option_types import Count, Share

PER_TOKEN = True


def lstm(
    input_shape: tuple[int, ...],
    num_classes: int,
    embedding: Count = 8,
    width: Count = 256,
    depth: Count = 2,
    dropout: Share = 0.0,
) -> nn.Module:
    """For each token of a sample the logits of the one that follows; it sees that token and those before.

    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (2017), the
    character model of Shakespeare's plays; cells of Hochreiter and Schmidhuber 1997, with torch's two biases.

    Args:
        input_shape: tokens of a sample, (T,).
        num_classes: kinds of tokens, the vocabulary.
        embedding: values of a token before the first layer.
        width: values of a layer's state.
        depth: layers.
        dropout: share of the values between layers, and before the last one, that is dropped in training.
    """
    token_count("lstm", input_shape)
    return _Lstm(num_classes, embedding, width, depth, dropout)


class _Layers(nn.LSTM):
    def flatten_parameters(self) -> None:
        """Does nothing: for cuDNN torch would move the values, which are part of a client's flat vector."""


class _Lstm(nn.Module):
    def __init__(self, vocabulary: int, embedding: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        between = dropout if depth > 1 else 0.0
        self.layers = _Layers(embedding, width, depth, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x_BT: Tensor) -> Tensor:
        states_BTW, _ = self.layers(self.embedding(whole_numbers("lstm", x_BT)))
        logits_BTV: Tensor = self.head(self.dropout(states_BTW))
        return logits_BTV
