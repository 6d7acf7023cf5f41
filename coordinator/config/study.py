"""Tasks, strategies and the study that holds them."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from coordinator.config.data import Data, Site, Split
from coordinator.config.fitting import Clip, Model, Norms, Training
from coordinator.config.privacy import Privacy
from coordinator.config.running import Network, OnLoss
from coordinator.config.values import (
    ClassWeights,
    Count,
    Decay,
    Device,
    Factor,
    Gate,
    MemoryFormat,
    Name,
    Positive,
    Precision,
    Rates,
    Record,
    Rounds,
    Schedule,
    Seed,
    Share,
    Sites,
    StageName,
    TrimmedShare,
    share_or_file,
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
    memory_format: MemoryFormat | None = Field(None, description="see training")
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
    aggregate: Literal["mean", "median", "trimmed_mean"] | None = Field(
        None,
        description="of what is averaged; median, trimmed_mean: number by number, each site alike, so that a "
        "few false updates move it little; mean: by site_weights",
    )
    trimmed_share: TrimmedShare | None = Field(
        None, description="trimmed_mean: share of the sites left out at either end, rounded up"
    )
    norms: Norms = Field(default_factory=Norms, description="bounds on updates and gradients, against poison")
    proximal_mu: Decay | None = Field(None, description="fedprox: weight of the proximal term")
    server_rate: Positive | None = Field(None, description="the server's learning rate")
    server_beta1: Share | None = Field(None, description="fedadam, fedyogi, fedadagrad: of the first moment")
    server_beta2: Share | None = Field(None, description="fedadam, fedyogi: of the second moment")
    server_tau: Positive | None = Field(
        None, description="fedadam, fedyogi, fedadagrad: adaptivity, added to the second moment's root"
    )
    participation: Annotated[float | str, AfterValidator(share_or_file)] = Field(
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
    adapt: Rounds = Field(
        0,
        description="epochs for which each site, after the last round, goes on to train what it holds of the "
        "model on its own records, the coordinator's layers frozen; 0: none",
    )
    batches: Literal["shuffled", "by_site", "joint"] | None = Field(
        None,
        description="centralized: shuffle the pool, or replay split learning's, site by site or joint",
    )
    secure_aggregation: bool = Field(
        False,
        description="averages: the coordinator learns the sum of the sites' tensors and no site's own "
        "(Bonawitz 2017); needs three sites in every round",
    )
    privacy: Privacy = Field(default_factory=Privacy, description="defences")


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
    threads_per_process: Annotated[int, Field(ge=1, le=256)] = Field(1, description="threads of each party")
    device: Device = Field(
        "cpu", description="where the parties compute, except sites that say otherwise: cpu, or cuda (a GPU)"
    )
    allow_pooling: bool = Field(
        False, description="true: the sites' records may be pooled for the centralized arm"
    )
    release: Literal["nothing", "predictions"] = Field(
        "nothing", description="predictions: test scores of each record leave the sites"
    )
    subgroups: bool = Field(
        False,
        description="true: each test record's sex and age band leave with its score, where the site's table "
        "has them, so that strategies are compared by them; needs release: predictions",
    )
    record_wire: bool = Field(
        False,
        description="true: the coordinator keeps what passes it in one round and in the final scoring, under "
        "state/, for attacks; every site must agree (allow_recording)",
    )
    record_round: Count | None = Field(
        None,
        description="the round that is kept, from 1; empty: the last; of a trial given up earlier: its last",
    )
    audit: Literal["none", "small", "full"] = Field(
        "none",
        description="small: attacks with few steps on every run, scored against the sites' records; full: "
        "with many, for hours; every site must agree (allow_recording)",
    )
    gallery: bool = Field(
        False,
        description="true: the report shows images that were attacked beside what was made of them; every "
        "site must agree (allow_gallery)",
    )
    evaluation: Literal["scores", "federated"] = Field(
        "scores", description="from record-level scores, or from estimates each site makes of its own alone"
    )
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = Field(
        1000, description="resamples behind each interval"
    )
    specificity: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.9, description="at which specificity sensitivity is told"
    )
    target_loss: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.05,
        description="cost to target, by loss: until validation loss (nats a record) is at most so much above "
        "the reference's best; by AUROC the task's margin counts",
    )
    network: Network | None = Field(
        None, description="predict how long each strategy takes over such a network; empty: none"
    )
    gate: Gate = Field("inside", description="outside: each site's gate is a process apart from training")
    runtime: Literal["auto", "apptainer", "docker", "bubblewrap", "host"] = Field(
        "auto",
        description="walls around each process; auto: the strongest that work here, host: none",
    )
    images: Literal["auto", "built", "host"] = Field(
        "auto",
        description="whose programs run inside; auto: Suture's own images if they were made once (make "
        "containers) and the runtime takes any; built: make them if they are missing; host: this machine's",
    )
    memory_mb: Count | None = Field(None, description="of each process within walls; who needs more ends")
    on_loss: OnLoss = Field(default_factory=OnLoss, description="a party ends or cannot be reached")
    commit_steps: Count = Field(
        1000, description="steps after which all commit within a round, as at its end; a loss costs no more"
    )
    reference: Name = Field("centralized", description="the strategy others are compared with")
    sites: dict[Name, Site] = Field(
        default_factory=dict, description="sites of this study alone, beside those in config/sites/"
    )
    only: tuple[Name, ...] = Field((), description="of the tasks, these alone; empty: all")
    tasks: dict[Name, Task] = Field(min_length=1, description="by name")
    strategies: dict[Name, Strategy] = Field(min_length=1, description="by label")
