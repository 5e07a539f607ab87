"""The types that components write for their options, so that settings are held to them.

Read by their names from sources: nothing is imported to check an option (:mod:`settings.option_checks`).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

Fading = Annotated[float, Field(ge=0, lt=1)]
"""What stays of something that was before: at 1 nothing would ever fade, or nothing new would ever come in."""
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Minority = Annotated[float, Field(ge=0, lt=0.5)]
"""A share at each of two ends, between which something must remain."""
Positive = Annotated[float, Field(gt=0)]
PositiveFloat32 = Annotated[float, Field(ge=float(np.finfo(np.float32).tiny), le=float(np.finfo(np.float32).max))]
"""Still above 0 and finite as float32."""
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
LevelCount = Annotated[int, Field(ge=1, le=127)]
"""Levels of a number of 8 bits with its sign at most."""
CountOrNone = Annotated[int, Field(ge=0)]
"""A count that may be 0."""
TestShare = Annotated[float, Field(gt=0, lt=1)]
"""A share of the samples that leaves some on both sides."""
Columns = Annotated[list[str], Field(min_length=1)]
"""Names of a table's columns."""
ColumnOrColumns = Annotated[str | Columns, Field()]
ImageShape = Annotated[list[Count], Field(min_length=3, max_length=3)]
"""Channels, height and width."""
SampleShape = Annotated[list[Count], Field(min_length=1)]
Channels = Annotated[Literal[1, 3], Field()]
"""Of pictures: grey or colour."""
TextDocument = Annotated[Literal["file", "line"], Field()]
"""What a document of text is."""
WhenTooShort = Annotated[Literal["refuse", "drop"], Field()]
"""What becomes of clients who have not one sample."""
WhenFewer = Annotated[Literal["refuse", "largest", "random", "merged"], Field()]
"""What becomes of the data's own clients where the federation has fewer."""
Norm = Annotated[Literal["batch", "group"], Field()]
"""What activations are normalised over."""
Positions = Annotated[Literal["learned", "rotary"], Field()]
"""How a model of tokens knows where they stand."""
