"""Sites, where records come from, and how they are divided and dealt."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from coordinator.config.values import Count, Device, ImportPath, Modality, Name, Positive, Record, Share, Skew


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
    allow_gallery: bool = Field(
        False, description="true: a report may show images of this site; only where they are nobody's or open"
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
    classes: Annotated[tuple[str, ...], Field(max_length=100)] = Field(
        (),
        description="an outcome of more than two classes: a word for each, in the order of their numbers; "
        "positive and negative then stay away; empty: with the outcome or without",
    )
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
