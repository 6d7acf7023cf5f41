"""Whose a record is, by what the source calls a site."""

import pytest

from coordinator.config import Site
from coordinator.errors import ConfigError
from sites.owners import owner, owners

NORTH = Site(name="north", select={"eicu": ("Midwest", "73")})
SOUTH = Site(name="south")


def test_the_first_name_that_is_taken_counts_and_case_does_not() -> None:
    taken = owners([NORTH, SOUTH], "eicu")
    assert owner(taken, ["73", "South"]) == "north"
    assert owner(taken, ["80", "SOUTH"]) == "south"
    assert owner(taken, ["80", "West"]) is None


def test_a_star_takes_the_rest_only() -> None:
    taken = owners([NORTH, Site(name="rest", select={"eicu": ("*",)})], "eicu")
    assert owner(taken, ["midwest"]) == "north"
    assert owner(taken, ["West"]) == "rest"


def test_two_sites_cannot_take_the_same() -> None:
    with pytest.raises(ConfigError, match="both take 'Midwest'"):
        owners([NORTH, Site(name="other", select={"eicu": ("Midwest",)})], "eicu")
