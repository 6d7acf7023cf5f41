"""What becomes of a run when a party is lost, and a network on paper over which runs are timed."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coordinator.config.values import Count, Name, Positive, Record


class OnLoss(Record):
    """What becomes of a run when a party ends or cannot be reached."""

    policy: Literal["wait", "abort", "continue"] = Field(
        "wait",
        description="wait: all go back to the last commit once it is here again; abort: the run ends, and "
        "goes on from there when it is started again; continue: after `minutes` the others go on from the "
        "last commit without it, and it is let in again at the beginning of a round (local and centralized "
        "training wait)",
    )
    at_least: Count | None = Field(
        None, description="continue: how many sites must be here for the run to go on; fewer end it"
    )
    minutes: Annotated[float, Field(gt=0.0)] | None = Field(
        60.0, description="how long to wait for a party; empty: for ever"
    )
    restarts: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="how often the launcher starts a party again that was killed"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.policy != "continue":
            if self.at_least is not None:
                raise ValueError("at_least belongs to policy: continue; set that, or remove at_least")
            return self
        if self.at_least is None:
            raise ValueError("policy: continue needs at_least, the number of sites to go on with; add it")
        if self.minutes is None:
            raise ValueError("policy: continue needs minutes, after which the others go on; set them")
        return self


class Link(Record):
    """A site's connection to the coordinator, and how fast it computes."""

    up_mbps: Positive = Field(100.0, description="towards the coordinator, in 10^6 bits a second")
    down_mbps: Positive = Field(100.0, description="towards the site, in 10^6 bits a second")
    latency_ms: Annotated[float, Field(ge=0.0)] = Field(
        10.0, description="one way, in milliseconds: half of what ping says"
    )
    speed: Positive = Field(1.0, description="how fast it computes, this study's machine being 1")


class Network(Record):
    """A network on paper, over which each strategy's seconds are predicted."""

    every: Link = Field(default_factory=Link, description="of each site that has none of its own")
    sites: dict[Name, Link] = Field(default_factory=dict, description="by site")
    coordinator_speed: Positive = Field(1.0, description="how fast it computes, this study's machine being 1")
