"""A study as frozen, strictly checked records: what a config file may say, and nothing else."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Widths = Annotated[tuple[Width, ...], Field(max_length=100)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Skew = Annotated[float, Field(ge=1e-3, le=1e6)]
Decay = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


def _distinct(rates: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(rates)) != len(rates):
        raise ValueError("a rate is named twice; name each once")
    return rates


Rates = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=100), AfterValidator(_distinct)]


class Record(BaseModel):
    """Frozen; an unknown key or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scanner(Record):
    """How a site's imaging device writes its files (used by the synthetic generator)."""

    bits: Literal[8, 12, 16] = Field(12, description="bits stored per pixel")
    photometric: Literal["MONOCHROME1", "MONOCHROME2"] = Field(
        "MONOCHROME2", description="MONOCHROME1 shows low values bright"
    )
    spacing_mm: Annotated[float, Field(ge=0.02, le=2.0)] = Field(
        0.2, description="distance between pixel centres, mm"
    )
    contrast: Annotated[float, Field(ge=0.05, le=20.0)] = Field(
        1.0, description="exponent of the device's grey curve"
    )


class Site(Record):
    """One hospital: a file `config/sites/NAME.yaml`."""

    name: Name = Field(description="the site's name, equal to the file's")
    title: str = Field("", description="the name shown in reports")
    files: dict[Name, str] = Field(
        default_factory=dict, description="source name to the site's file, relative to data_root"
    )
    scanner: Scanner = Field(default_factory=Scanner, description="the site's imaging device")


class Partition(Record):
    """How records without natural sites are dealt to sites."""

    label_skew: Skew | None = Field(
        None, description="Dirichlet concentration over outcomes; small is more skewed, empty: none"
    )
    quantity_skew: Skew | None = Field(
        None, description="Dirichlet concentration over site sizes; small is more skewed, empty: none"
    )


class Data(Record):
    """Where a task's records come from."""

    source: Name = Field(description="the loader: breast_cancer, chest_xray_synthetic or heart")
    missing: Literal["impute", "quarantine"] = Field(
        "impute", description="impute: the training mean and an indicator; quarantine: drop the row"
    )
    records: Count = Field(400, description="how many records a generator makes")
    pixels: Annotated[int, Field(ge=16, le=512)] = Field(32, description="image side after resizing")
    partition: Partition = Field(default_factory=Partition, description="dealing to sites")


class Split(Record):
    """Shares of each site's patients; test and auxiliary are frozen by `split_seed`."""

    test: Share = Field(0.2, description="share of patients for the final test")
    auxiliary: Share = Field(0.1, description="share kept for attackers only")
    validation: Share = Field(0.15, description="share of the remaining patients for selection")

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.test + self.auxiliary >= 0.9:
            raise ValueError("test and auxiliary together must leave at least a tenth to train on")
        if not self.test or not self.validation:
            raise ValueError("test and validation must be above 0")
        return self


class Model(Record):
    """A network as named stages."""

    name: Name = Field(description="logistic_regression, mlp or cnn")
    hidden: Widths = Field((64, 32), description="mlp: widths of layer1, layer2, ...")
    channels: Widths = Field((8, 16, 32), description="cnn: channels of conv1, conv2, ...")
    dropout: Share = Field(0.0, description="share of activations dropped after each stage")


class Training(Record):
    """How a model is fitted, the same for every strategy unless a strategy overrides it."""

    rounds: Count = Field(20, description="rounds; all sites take part in each")
    local_epochs: Count = Field(1, description="passes over a site's records in a round")
    batch_size: Count = Field(32, description="records in a step")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adam", description="torch's optimizer")
    learning_rates: Rates = Field((0.001,), description="the grid; validation loss picks one in every arm")
    momentum: Share = Field(0.0, description="of sgd")
    weight_decay: Decay = Field(0.0, description="as torch defines it")


class Task(Record):
    """One prediction problem."""

    title: str = Field("", description="the name shown in reports")
    data: Data = Field(description="where the records come from")
    sites: tuple[Name, ...] = Field(min_length=1, description="in the study's site order")
    split: Split = Field(default_factory=Split, description="shares of the roles")
    model: Model = Field(description="the network")
    cut: Name | tuple[Name, Name] = Field(
        description="last stage of the front; a second name is the last stage before the head"
    )
    training: Training = Field(default_factory=Training, description="how it is fitted")
    margin: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.05, description="AUROC difference regarded as no difference, fixed before the run"
    )


class TrainingChange(Record):
    """The keys of `training` that a strategy sets for itself."""

    rounds: Count | None = Field(None, description="see training")
    local_epochs: Count | None = Field(None, description="see training")
    batch_size: Count | None = Field(None, description="see training")
    optimizer: Literal["sgd", "adam", "adamw"] | None = Field(None, description="see training")
    learning_rates: Rates | None = Field(None, description="see training")
    momentum: Share | None = Field(None, description="see training")
    weight_decay: Decay | None = Field(None, description="see training")


class Strategy(Record):
    """A named way to train: a preset and what differs from it."""

    preset: Name | None = Field(None, description="empty: the entry's own name")
    tasks: tuple[Name, ...] | None = Field(None, description="only these tasks; empty: all")
    cut: Name | tuple[Name, Name] | None = Field(None, description="empty: the task's")
    training: TrainingChange = Field(
        default_factory=TrainingChange, description="what differs from the task's training"
    )
    labels: Literal["shared", "private"] | None = Field(
        None, description="split: labels go up (vanilla), or stay with the head at the site (U-shaped)"
    )
    optimizer_state: Literal["restarted", "kept"] | None = Field(
        None, description="fedavg: the local optimizer's state between rounds"
    )
    site_weights: Literal["records", "equal"] = Field(
        "records", description="weight of a site in averages and in validation"
    )
    batches: Literal["shuffled", "by_site"] | None = Field(
        None, description="centralized: shuffle the pool, or replay the sequential split schedule"
    )


class Study(Record):
    """Everything one config file describes."""

    name: Name = Field(description="results lie under results/NAME")
    title: str = Field("", description="the report's title")
    data_root: str | None = Field(
        None, description="folder of the hospitals' files; empty: the environment's SUTURE_DATA_ROOT"
    )
    seeds: tuple[Seed, ...] = Field(
        (0,), min_length=1, max_length=1000, description="vary validation split, initialisation and order"
    )
    split_seed: Seed = Field(0, description="freezes test patients")
    min_patients: Count = Field(10, description="a site with fewer is refused")
    min_cell: Count = Field(5, description="smallest count that leaves a site")
    threads_per_process: Annotated[int, Field(ge=1, le=256)] = Field(
        1, description="compute threads of each party"
    )
    allow_pooling: bool = Field(
        False, description="true: the sites' records may be pooled for the centralized arm"
    )
    release: Literal["nothing", "predictions"] = Field(
        "nothing", description="predictions: test scores of each record leave the sites"
    )
    evaluation: Literal["scores"] = Field("scores", description="from record-level scores")
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = Field(
        1000, description="resamples behind each interval"
    )
    runtime: Literal["auto", "host"] = Field("auto", description="the walls parties run in")
    reference: Name = Field("centralized", description="the strategy others are compared with")
    tasks: dict[Name, Task] = Field(min_length=1, description="by name")
    strategies: dict[Name, Strategy] = Field(min_length=1, description="by label")
