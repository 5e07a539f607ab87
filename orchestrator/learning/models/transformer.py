"""A small decoder-only transformer for sequences of tokens: 437,760 values at 64 tokens of 256 kinds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.learning.models._tokens import token_count, whole_numbers
from fedchunk.orchestrator.settings.option_types import Count, CountOrNone, Positions, Share

PER_TOKEN = True
ROTARY_BASE = 10_000.0
"""Of the wavelengths of rotary positions."""
SPREAD = 0.02
"""Standard deviation of fresh weights, of all but those that write to the residual stream."""


def transformer(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: Count = 128,
    depth: Count = 2,
    heads: Count = 4,
    context: CountOrNone = 0,
    dropout: Share = 0.0,
    positions: Positions = "learned",
    tie_weights: bool = True,
) -> nn.Module:
    """For each token of a sample the logits of the one that follows; it sees that token and those before.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), GPT-2: layers are normalised
    before attention and before the dense layers (Xiong et al. 2020, arXiv 2002.04745), with GELU and four times the
    width between the latter. Rotary positions: Su et al. 2021 (arXiv 2104.09864). Tied weights: Press and Wolf 2017
    (arXiv 1608.05859).

    Args:
        input_shape: tokens of a sample, (T,).
        num_classes: kinds of tokens, the vocabulary.
        width: values of a token between layers, a multiple of ``heads``.
        depth: blocks of attention and dense layers.
        heads: of the attention.
        context: tokens that learned positions are kept for; 0: as many as a sample has. Rotary ones take any number.
        dropout: share of values that is dropped in training.
        positions: learned, a vector for each place; or rotary, queries and keys turned by their place.
        tie_weights: whether the last layer's weights are those of the embedding.
    """
    tokens = token_count("transformer", input_shape)
    if width % heads:
        raise _fault(f"width: got {width}, which is no multiple of heads: {heads}")
    if positions == "rotary" and width // heads % 2:
        raise _fault(f"width: got {width} for {heads} heads; rotary positions need an even number of values a head")
    if 0 < context < tokens:
        raise _fault(f"context: got {context}, but samples have {tokens} tokens; allowed: that or more, or 0")
    return _Transformer(
        num_classes, context or tokens, width, depth, heads, dropout, rotary=positions == "rotary", tied=tie_weights
    )


class _Transformer(nn.Module):
    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        *,
        rotary: bool,
        tied: bool,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = None if rotary else nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        blocks = [_Block(width, heads, dropout, rotary=rotary) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=SPREAD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in blocks:
            for layer in (block.attention.out, block.down):
                nn.init.normal_(layer.weight, std=SPREAD / math.sqrt(2 * depth))
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, x_BT: Tensor) -> Tensor:
        stream_BTW = self.embedding(whole_numbers("transformer", x_BT))
        if self.positions is not None:
            stream_BTW = stream_BTW + self.positions.weight[: x_BT.shape[-1]]
        stream_BTW = self.dropout(stream_BTW)
        for block in self.blocks:
            stream_BTW = block(stream_BTW)
        logits_BTV: Tensor = self.head(self.norm(stream_BTW))
        return logits_BTV


class _Block(nn.Module):
    """Attention, then two dense layers, each added to what goes past them."""

    def __init__(self, width: int, heads: int, dropout: float, *, rotary: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = _Attention(width, heads, dropout, rotary=rotary)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, stream_BTW: Tensor) -> Tensor:
        stream_BTW = stream_BTW + self.dropout(self.attention(self.norm1(stream_BTW)))
        hidden = functional.gelu(self.up(self.norm2(stream_BTW)))
        answer_BTW: Tensor = stream_BTW + self.dropout(self.down(hidden))
        return answer_BTW


class _Attention(nn.Module):
    """Causal self-attention of H heads of D values each.

    Written out, in operations that torch's deterministic mode and its function transforms know.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTW: Tensor) -> Tensor:
        batch, tokens, width = x_BTW.shape
        split = self.qkv(x_BTW).view(batch, tokens, 3, self.heads, width // self.heads)
        q_BHTD, k_BHTD, v_BHTD = split.permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary:
            q_BHTD, k_BHTD = turned(q_BHTD), turned(k_BHTD)
        scores_BHTT = (q_BHTD / math.sqrt(width // self.heads)) @ k_BHTD.transpose(-2, -1)
        # Added: masked_fill, there and back, takes a tenth of a training step on a CPU.
        later_TT = torch.full((tokens, tokens), -math.inf, dtype=scores_BHTT.dtype, device=x_BTW.device).triu(1)
        shares_BHTT = self.dropout((scores_BHTT + later_TT).softmax(dim=-1))
        answer_BTW: Tensor = self.out((shares_BHTT @ v_BHTD).transpose(1, 2).reshape(batch, tokens, width))
        return answer_BTW


def turned(x_BHTD: Tensor) -> Tensor:
    """Values in pairs (d, d + D / 2), each turned by its place times ``ROTARY_BASE ** (-2 d / D)``."""
    tokens, half = x_BHTD.shape[-2], x_BHTD.shape[-1] // 2
    rates_D = ROTARY_BASE ** (-torch.arange(half, device=x_BHTD.device) / half)
    angles_TD = torch.arange(tokens, device=x_BHTD.device)[:, None] * rates_D
    cos_TD, sin_TD = angles_TD.cos(), angles_TD.sin()
    one, other = x_BHTD[..., :half], x_BHTD[..., half:]
    return torch.cat((one * cos_TD - other * sin_TD, one * sin_TD + other * cos_TD), dim=-1)


def _fault(message: str) -> ConfigError:
    return ConfigError([Fault("", "model_options", message)])
