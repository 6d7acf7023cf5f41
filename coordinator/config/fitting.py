"""A model, and how it is fitted."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    JsonValue,
)

from coordinator.config.values import (
    ClassWeights,
    Count,
    Decay,
    Factor,
    ImportPath,
    MemoryFormat,
    Name,
    Positive,
    Precision,
    Rates,
    Record,
    Rounds,
    Schedule,
    Share,
    Widths,
)


class Model(Record):
    """A network as named stages."""

    name: Name = Field(
        description="logistic_regression, mlp, gru, transformer, cnn, resnet18, densenet121, fusion, or "
        "module: a network of the study's own"
    )
    hidden: Widths = Field(
        (64, 32),
        description="mlp: widths of layer1, layer2, ...; gru, transformer: of its state or tokens, then of "
        "layer1, ...; fusion: of what each modality's encoder gives, then of layer1, ...",
    )
    blocks: Annotated[int, Field(ge=1, le=48)] = Field(2, description="transformer: block1, block2, ...")
    heads: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="transformer: attention heads of a block"
    )
    channels: Widths = Field(
        (8, 16, 32), description="cnn: channels of conv1, conv2, ...; fusion: of its image encoder"
    )
    width: Annotated[int, Field(ge=8, le=512, multiple_of=8)] = Field(
        64,
        description="resnet18, densenet121: channels of the first convolution, 64 as published; the others "
        "in proportion",
    )
    stem: Literal["7x7", "3x3"] = Field(
        "7x7",
        description="resnet18: 7x7 with stride 2 and pooling, or 3x3 without either, for small images (dear)",
    )
    norm: Literal["group", "batch"] = Field(
        "group",
        description="resnet18, densenet121: normalisation; module: batch where it has batch norm, so that no "
        "batch holds one record",
    )
    dropout: Share = Field(0.0, description="share of activations dropped after each stage")
    path: ImportPath | None = Field(
        None, description="module: the class, as package.module:Class; each site's allow_models must name it"
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="module: what its constructor is given, by keyword"
    )


class Clip(Record):
    """Limits the length of a step's gradient."""

    norm: Positive = Field(description="a gradient longer than this is shortened to it")
    scope: Literal["global", "party"] = Field(
        "global",
        description="global: the length is that of the whole model's gradient, also where it is cut (the "
        "parties exchange one length per tensor); party: each party's layers by themselves",
    )


class Norms(Record):
    """How long a site's updates and gradients may be, and what becomes of one that is longer."""

    update: Positive | None = Field(
        None, description="what is averaged: L2 norm of a site's update against where it began; empty: any"
    )
    gradient: Positive | None = Field(
        None, description="split: L2 norm of a step's gradient at a site's cut; empty: any"
    )
    action: Literal["report", "clip", "drop"] = Field(
        "report",
        description="what is longer, or not finite, is told in the history and the log in any case; clip: "
        "and shortened to the norm (dropped where it is not finite); drop: and left out",
    )


class Training(Record):
    """How a model is fitted, the same for every strategy unless a strategy overrides it."""

    rounds: Count = Field(20, description="rounds; all sites take part in each")
    local_epochs: Count = Field(1, description="passes over a site's records in a round")
    batch_size: Count = Field(32, description="records in a step")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adam", description="torch's optimizer")
    learning_rates: Rates = Field(
        (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
        description="the grid, of one size in every arm; validation loss picks one",
    )
    momentum: Share = Field(0.0, description="of sgd")
    weight_decay: Decay = Field(0.0, description="as torch defines it")
    schedule: Schedule = Field(
        "constant", description="of the learning rate, by round: constant, cosine (to 0), or step"
    )
    warm_up: Rounds = Field(0, description="first rounds in which the learning rate rises to its value")
    step_rounds: Count = Field(10, description="schedule step: rounds until the rate falls again")
    step_factor: Factor = Field(0.1, description="schedule step: what it is multiplied by")
    clip: Clip | None = Field(None, description="limits the length of a step's gradient; empty: no limit")
    precision: Precision = Field(
        "float32", description="bf16_mixed: layers compute in bfloat16 where torch's autocast says so"
    )
    memory_format: MemoryFormat = Field(
        "contiguous", description="how images lie in memory; channels_last: the channels of a pixel together"
    )
    class_weights: ClassWeights = Field(
        "none", description="balanced: both classes weigh the same in the loss, training and validation"
    )
    epochs_by_site: dict[Name, Count] = Field(
        default_factory=dict, description="local epochs of sites that make another number of them"
    )
    patience: Count | None = Field(
        None,
        description="a rate of the grid is given up after so many rounds in a row without a better "
        "validation loss; empty: never",
    )
