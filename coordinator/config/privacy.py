"""The defences of a strategy; what each covers and costs stands in config/README.md."""

from typing import Annotated, Literal

from pydantic import Field

from coordinator.config.values import Positive, Record, Share

Delta = Annotated[float, Field(gt=0.0, lt=1.0)]


class Budget(Record):
    """What a patient's records may tell at most, over a whole run."""

    epsilon: Positive = Field(description="of (epsilon, delta) differential privacy, per patient")
    delta: Delta = Field(1e-5, description="far below one over the number of patients")


class Noise(Record):
    """Noise on what a site releases at the cut, record by record."""

    mechanism: Literal["gaussian", "laplace"] = Field(
        "gaussian", description="gaussian clips by the Euclidean length, laplace by the sum of magnitudes"
    )
    clip: Positive = Field(description="a record's activations longer than this are shortened to it")
    gradient_clip: Positive | None = Field(
        None, description="private labels: the same of a record's gradient, which goes up too"
    )
    scale: Positive | None = Field(
        None,
        description="standard deviation (gaussian) or scale (laplace) in clips; empty: each site's least "
        "with which the planned run keeps within the budget",
    )


class DpSgd(Record):
    """Training in which each patient's gradient is clipped and noise is added to their sum (Abadi 2016)."""

    clip: Positive = Field(description="a patient's gradient longer than this is shortened to it")
    scale: Positive | None = Field(
        None,
        description="noise's standard deviation in clips; empty: each site's least with which the planned "
        "run keeps within the budget",
    )


class Privacy(Record):
    """The defences of a strategy."""

    noise: Noise | None = Field(None, description="split: noise on what leaves at the cut; empty: none")
    dp_sgd: DpSgd | None = Field(
        None, description="whole models, or parts, that leave their site are trained so; empty: as usual"
    )
    label_epsilon: Positive | None = Field(
        None,
        description="split, shared labels: each is sent wrong with probability 1 / (1 + e^epsilon), the same "
        "way throughout a run (randomized response, Warner 1965); empty: as they are",
    )
    budget: Budget | None = Field(
        None, description="training stops before a patient's account is overdrawn; empty: it is only kept"
    )
    no_peek: Positive | None = Field(
        None,
        description="split: weight of the distance correlation of inputs and activations in the front's "
        "loss (Vepakomma 2020); empty: none",
    )
    dropout: Share = Field(
        0.0, description="split: share of the activations that is dropped at the cut, in scoring too"
    )
    cut_gradient: Literal["none", "max_norm", "marvell"] = Field(
        "none", description="split, private labels: noise on the gradient that goes up (Li 2022)"
    )
    activations: Literal["float32", "bf16", "fp16", "int8"] = Field(
        "float32",
        description="split: how activations travel; bf16 and fp16 take half the bytes, int8 a quarter",
    )
    detect_hijacking: bool = Field(
        False,
        description="split: a site looks at the gradients that come down and stops releasing where they are "
        "not of the task (after Erdogan 2024)",
    )
