"""What values a key may have, and the record all others are."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
# a model's stage, by the name of a submodule where the network is not ours; a class by its import path
StageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.\w+)*$", max_length=200)]
ImportPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=200)
]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
TrimmedShare = Annotated[float, Field(gt=0.0, lt=0.5)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Widths = Annotated[tuple[Width, ...], Field(max_length=100)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Skew = Annotated[float, Field(ge=1e-3, le=1e6)]
Modality = Literal["table", "series", "image"]
Decay = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0.0, le=1.0)]
Rounds = Annotated[int, Field(ge=0, le=1_000_000)]
Device = Literal["cpu", "cuda"]
Gate = Literal["inside", "outside"]  # in which process a site's release gate is
Precision = Literal["float32", "bf16_mixed"]
MemoryFormat = Literal["contiguous", "channels_last"]
Schedule = Literal["constant", "cosine", "step"]
ClassWeights = Literal["none", "balanced"]


def _distinct(rates: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(rates)) != len(rates):
        raise ValueError("a rate is named twice; name each once")
    return rates


def numbered(value: Any) -> Any:
    """Name as many sites as a number says: `site01`, `site02`, ...; leave a list as it is."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 999:
        return tuple(f"site{i + 1:02}" for i in range(value))
    return tuple(value) if isinstance(value, list) else value


Sites = Annotated[
    tuple[Name, ...],
    Field(min_length=1),
    BeforeValidator(numbered, json_schema_input_type=tuple[Name, ...] | Annotated[int, Field(ge=1, le=999)]),
]


def share_or_file(value: float | str) -> float | str:
    """Check a number as a share; leave a file's name as it is."""
    if isinstance(value, float) and not 0 < value <= 1:
        raise ValueError("expected a share of the sites, above 0 and at most 1, or a file's name")
    return value


Rates = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=100), AfterValidator(_distinct)]


class Record(BaseModel):
    """Frozen; an unknown key or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
