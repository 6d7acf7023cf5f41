"""A study as frozen, strictly checked records: what a config file may say, and nothing else."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
# a model's stage, by the name of a submodule where the network is not ours; a class by its import path
StageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.\w+)*$", max_length=200)]
ImportPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=200)
]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
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
Precision = Literal["float32", "bf16_mixed"]
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


def _share_or_file(value: float | str) -> float | str:
    if isinstance(value, float) and not 0 < value <= 1:
        raise ValueError("expected a share of the sites, above 0 and at most 1, or a file's name")
    return value


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
    """One hospital: a file `config/sites/NAME.yaml`, or an entry of the study's `sites`."""

    name: Name = Field(description="the site's name, equal to the file's")
    title: str = Field("", description="the name shown in reports")
    files: dict[Name, str] = Field(
        default_factory=dict, description="source name to the site's file or folder, relative to data_root"
    )
    select: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict,
        description="source name to what the source calls this site, where one file holds all sites' "
        "records; `*`: whatever no other site of the task takes",
    )
    scanner: Scanner = Field(default_factory=Scanner, description="the site's imaging device")
    allow_models: tuple[ImportPath, ...] = Field(
        (), description="networks of a study's own whose code may run at this site, as package.module:Class"
    )
    device: Device | None = Field(None, description="where this site computes; empty: the study's")
    allow_recording: bool = Field(
        False,
        description="true: a coordinator may keep what this site sends, and an auditor may hold attacks "
        "against its records",
    )


class Partition(Record):
    """How records without natural sites are dealt to sites."""

    label_skew: Skew | None = Field(
        None, description="Dirichlet concentration over outcomes; small is more skewed, empty: none"
    )
    quantity_skew: Skew | None = Field(
        None, description="Dirichlet concentration over site sizes; small is more skewed, empty: none"
    )
    feature_skew: Skew | None = Field(
        None,
        description="how strongly a patient's site follows the source's shift variable (such as age): "
        "near 0 hardly, 1 clearly, 100 sorted by it; empty: none",
    )


class Columns(Record):
    """What the columns of a table mean; a column is named by its header."""

    patient: str = Field(description="identifies a patient; all records of one go to the same side")
    record: str | None = Field(None, description="identifies a row; empty: the row's number")
    site: str | None = Field(None, description="whose row it is, where one file holds all sites' rows")
    label: str = Field(description="the outcome")
    positive: tuple[str, ...] = Field(("1", "true", "yes"), description="words for an outcome")
    negative: tuple[str, ...] = Field(("0", "false", "no"), description="words for none")
    numeric: tuple[str, ...] = Field((), description="input columns of numbers")
    categorical: tuple[str, ...] = Field((), description="input columns of words or codes")
    image: str | None = Field(None, description="the image's file name, with or without its ending")
    missing: tuple[str, ...] = Field((), description="further words for a missing value, such as -1 or 999")
    limits: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="lowest and highest value a column can hold; others are missing"
    )
    prediction_time: str | None = Field(
        None, description="column with the time of prediction (hours, or a date and time)"
    )
    times: dict[str, str] = Field(
        default_factory=dict,
        description="input column to the column with its time; one after the prediction is an error",
    )
    age: str | None = Field(None, description="column of ages in years, for the cohort table")
    sex: str | None = Field(None, description="column of sexes, for the cohort table")


class Events(Record):
    """Which codes of an event stream become inputs: listed here, so that sites agree on them without a row.

    An input that is static in the source (no time) always counts, any other from `window_hours` before the
    time of prediction until that time. Of a prefix, the rest of the code is what it says.
    """

    window_hours: Positive | None = Field(
        None, description="how long before the time of prediction an event still counts; empty: always"
    )
    last: dict[Name, str] = Field(
        default_factory=dict, description="input to the code whose last number it is"
    )
    numbers: dict[Name, str] = Field(
        default_factory=dict,
        description="a name to the code whose numbers are summarised, as inputs NAME_last, ...; a variable "
        "of a series",
    )
    summaries: tuple[Literal["last", "min", "max", "mean", "count"], ...] = Field(
        ("last", "mean", "count"), description="what is said of `numbers`"
    )
    words: dict[Name, str] = Field(
        default_factory=dict, description="input to a prefix: the last such code's rest is the word"
    )
    flags: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict,
        description="input to prefixes: yes where there is such a code, no where none is",
    )
    limits: dict[Name, tuple[float, float]] = Field(
        default_factory=dict,
        description="lowest and highest value of a name in `last` or `numbers`; others are missing",
    )
    age: bool = Field(True, description="the age at the time of prediction is an input (from MEDS_BIRTH)")
    site: str | None = Field(None, description="prefix of the static code that says whose a subject is")

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [*self.last, *self.numbers, *self.words, *self.flags, *(("age",) if self.age else ())]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(repeated)} is the name of two inputs; rename one")
        if unknown := sorted(set(self.limits) - set(self.last) - set(self.numbers)):
            raise ValueError(f"limits of {', '.join(unknown)}, which is not in last or numbers")
        return self


class Data(Record):
    """Where a task's records come from."""

    source: Name = Field(description="the loader, one of those in config/studies/README.md")
    path: str | None = Field(
        None,
        description="file or folder under data_root that holds all sites' records, divided before each is "
        "prepared; empty: each site has its own",
    )
    outcome: Name | None = Field(None, description="what to predict, where the source has several")
    hours: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        None, description="time of prediction in hours after admission; empty: the source's own"
    )
    step_hours: Annotated[float, Field(gt=0, le=1_000)] = Field(1.0, description="length of a series' step")
    modalities: tuple[Modality, ...] = Field(
        (), description="what of a record is read (table, series, image); empty: all the model can use"
    )
    columns: Columns | None = Field(None, description="what the columns of a table mean")
    tables: tuple[Name, ...] = Field(
        (), description="tables that not every export has and that are read too (eicu: lab)"
    )
    events: Events | None = Field(None, description="which codes of events become inputs (meds)")
    missing: Literal["impute", "quarantine"] = Field(
        "impute", description="impute: the training mean and an indicator; quarantine: drop the row"
    )
    records: Count = Field(400, description="how many records a generator makes")
    pixels: Annotated[int, Field(ge=16, le=512)] = Field(32, description="image side after resizing")
    augment: tuple[Literal["flip", "rotate", "shift", "contrast"], ...] = Field(
        (), description="random changes to training images"
    )
    partition: Partition = Field(default_factory=Partition, description="dealing to sites")


class Split(Record):
    """Shares of each site's patients; test and auxiliary are frozen by `split_seed`."""

    test: Share = Field(0.2, description="share of patients for the final test")
    auxiliary: Share = Field(0.1, description="share kept for attackers only")
    validation: Share = Field(0.15, description="share of the remaining patients for selection")
    source_test: bool = Field(
        False, description="true: the source's own test set is tested on, and `test` is not drawn"
    )
    held_out: tuple[Name, ...] = Field((), description="sites that only test: leave one hospital out")
    folds: Annotated[int, Field(ge=2, le=20)] | None = Field(
        None, description="grouped k-fold: tasks TASK_fold1 ... TASK_foldK, each patient tested in one"
    )
    fold: Annotated[int, Field(ge=1, le=20)] | None = Field(
        None, description="only this fold of `folds`; empty: all, as a task each"
    )

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.test + self.auxiliary >= 0.9:
            raise ValueError("test and auxiliary together must leave at least a tenth to train on")
        if not self.test or not self.validation:
            raise ValueError("test and validation must be above 0")
        if self.fold and (self.folds is None or self.fold > self.folds):
            raise ValueError("fold counts from 1 to folds; set folds, or remove fold")
        if self.folds and self.source_test:
            raise ValueError("folds and source_test both say who is tested; keep one")
        return self


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


class Task(Record):
    """One prediction problem."""

    title: str = Field("", description="the name shown in reports")
    data: Data = Field(description="where the records come from")
    sites: Sites = Field(
        description="in the study's site order; a number n: site01 ... that need no file, for dealt data"
    )
    split: Split = Field(default_factory=Split, description="shares of the roles")
    model: Model = Field(description="the network")
    cut: StageName | tuple[StageName, StageName] = Field(
        description="last stage of the front; a second name is the last stage before the head"
    )
    training: Training = Field(default_factory=Training, description="how it is fitted")
    statistics: str | None = Field(
        None,
        description="a statistics.json agreed on earlier, whose normalisation is kept, so that a new site "
        "can join; empty: agree anew",
    )
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
    schedule: Schedule | None = Field(None, description="see training")
    warm_up: Rounds | None = Field(None, description="see training")
    step_rounds: Count | None = Field(None, description="see training")
    step_factor: Factor | None = Field(None, description="see training")
    clip: Clip | None = Field(None, description="see training")
    precision: Precision | None = Field(None, description="see training")
    class_weights: ClassWeights | None = Field(None, description="see training")
    epochs_by_site: dict[Name, Count] | None = Field(None, description="see training")
    patience: Count | None = Field(None, description="see training")


class Strategy(Record):
    """A named way to train: a preset and what differs from it."""

    preset: Name | None = Field(None, description="empty: the entry's own name")
    tasks: tuple[Name, ...] | None = Field(None, description="only these tasks; empty: all")
    cut: StageName | tuple[StageName, StageName] | None = Field(None, description="empty: the task's")
    training: TrainingChange = Field(
        default_factory=TrainingChange, description="what differs from the task's training"
    )
    labels: Literal["shared", "private"] | None = Field(
        None, description="split: labels go up (vanilla), or stay with the head at the site (U-shaped)"
    )
    site_parts: Literal["handed_on", "averaged", "synchronous", "private"] | None = Field(
        None,
        description="split: the sites' layers travel from site to site, are averaged each round, add their "
        "gradients each step, or never leave",
    )
    back: Literal["single", "averaged", "joint"] | None = Field(
        None,
        description="split: the coordinator's layers are one, updated batch after batch; a copy per site, "
        "averaged each round; or one, updated by all sites' batches of a step together",
    )
    turn: Literal["client", "batch"] | None = Field(
        None, description="split, single back: a site's whole epoch and then the next's, or batches in turn"
    )
    order: Literal["fixed", "reversed", "drawn"] | None = Field(
        None, description="split, single back: the sites in the study's order, backwards, or drawn each round"
    )
    interleave: Literal["cyclic", "proportional"] | None = Field(
        None,
        description="split, batches in turn: a site with none left sits out, or turns are spread by size",
    )
    optimizer_state: Literal["restarted", "kept"] | None = Field(
        None, description="what is averaged: its optimizer's state between rounds"
    )
    proximal_mu: Decay | None = Field(None, description="fedprox: weight of the proximal term")
    server_rate: Positive | None = Field(None, description="the server's learning rate")
    server_beta1: Share | None = Field(None, description="fedadam, fedyogi, fedadagrad: of the first moment")
    server_beta2: Share | None = Field(None, description="fedadam, fedyogi: of the second moment")
    server_tau: Positive | None = Field(
        None, description="fedadam, fedyogi, fedadagrad: adaptivity, added to the second moment's root"
    )
    participation: Annotated[float | str, AfterValidator(_share_or_file)] = Field(
        1.0,
        description="share of the sites that train in a round, drawn each round; or a run's "
        "participation.jsonl, to repeat who did",
    )
    join: dict[Name, Rounds] = Field(
        default_factory=dict, description="site to the round in which it first trains, counted from 0"
    )
    leave: dict[Name, Rounds] = Field(
        default_factory=dict, description="site to the round from which on it no longer trains"
    )
    site_weights: Literal["records", "equal"] = Field(
        "records", description="weight of a site in averages and in validation"
    )
    batches: Literal["shuffled", "by_site", "joint"] | None = Field(
        None,
        description="centralized: shuffle the pool, or replay split learning's, site by site or joint",
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
    device: Device = Field(
        "cpu", description="where the parties compute, except sites that say otherwise: cpu, or cuda (a GPU)"
    )
    allow_pooling: bool = Field(
        False, description="true: the sites' records may be pooled for the centralized arm"
    )
    release: Literal["nothing", "predictions"] = Field(
        "nothing", description="predictions: test scores of each record leave the sites"
    )
    record_wire: bool = Field(
        False,
        description="true: the coordinator keeps what passes it in one round and in the final scoring, under "
        "state/, for attacks; every site must agree (allow_recording)",
    )
    record_round: Count | None = Field(None, description="the round that is kept, from 1; empty: the last")
    audit: Literal["none", "small"] = Field(
        "none",
        description="small: attacks with few steps on every run, scored against the sites' records; every "
        "site must agree (allow_recording)",
    )
    evaluation: Literal["scores"] = Field("scores", description="from record-level scores")
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = Field(
        1000, description="resamples behind each interval"
    )
    runtime: Literal["auto", "bubblewrap", "host"] = Field(
        "auto",
        description="walls around each process; auto: the strongest that work here, host: none",
    )
    reference: Name = Field("centralized", description="the strategy others are compared with")
    sites: dict[Name, Site] = Field(
        default_factory=dict, description="sites of this study alone, beside those in config/sites/"
    )
    tasks: dict[Name, Task] = Field(min_length=1, description="by name")
    strategies: dict[Name, Strategy] = Field(min_length=1, description="by label")
