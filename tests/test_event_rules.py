"""What a study may say of events and further tables."""

import pytest

from coordinator.config import Data, Events, Model, Task
from coordinator.errors import ConfigError
from coordinator.event_rules import check_events


def task(model: str = "mlp", **data: object) -> Task:
    return Task(data=Data(**data), sites=("north",), model=Model(name=model), cut="layer1")


def test_what_can_be_meant_passes():
    check_events("t", task(source="meds", events=Events(last={"weight": "WEIGHT"})))
    check_events("t", task(source="eicu", tables=("lab",)))
    check_events("t", task("gru", source="meds", events=Events(window_hours=24, numbers={"hr": "HR"})))
    check_events("t", task(source="heart"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (task(source="meds"), r"t\.data\.events: 'meds' needs to know which codes"),
        (task(source="heart", events=Events()), r"t\.data\.events: 'heart' knows its inputs"),
        (task(source="heart", tables=("lab",)), r"t\.data\.tables: 'heart' has no table 'lab'.*remove"),
        (task(source="eicu", tables=("labs",)), r"'eicu' has no table 'labs' to add; it can read lab"),
        (task(source="meds", events=Events(age=False)), "no input"),
        (task(source="meds", events=Events(flags={"label": ("X",)})), "'label' stands for something else"),
        (
            task(source="meds", events=Events(last={"a_mean": "X"}, numbers={"a": "Y"})),
            "'a_mean' is the name of two inputs",
        ),
        (task("gru", source="meds", events=Events(numbers={"hr": "HR"})), "needs window_hours and numbers"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        check_events("t", wrong)


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="weight is the name of two inputs"):
        Events(last={"weight": "A"}, words={"weight": "B//"})
    with pytest.raises(ValueError, match="age is the name of two inputs"):
        Events(last={"age": "A"})
    with pytest.raises(ValueError, match="limits of pulse, which is not in last or numbers"):
        Events(limits={"pulse": (0, 1)})
