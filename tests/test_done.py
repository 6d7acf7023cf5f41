"""A site's last word: what can be true of its parts and its costs, and what is refused."""

import pytest

from coordinator.errors import ProtocolError
from coordinator.protocol.messages import Done
from coordinator.server.done import check_done

HASH, PARTS = "0" * 64, ("front", "head")


def test_what_an_honest_site_says_is_taken():
    check_done("east", Done({"front": HASH}, {"bytes_up.training.weights": 3.0, "seconds": 0.0}), PARTS)
    check_done("east", Done({}, {}), PARTS)


@pytest.mark.parametrize(
    "done",
    [
        Done({"back": HASH}, {}),
        Done({"front": "1234"}, {}),
        Done({"front": HASH + "\n"}, {}),
        Done({"front, north, x\nfront": HASH}, {}),
        Done({}, {"seconds": -1.0}),
        Done({}, {"seconds": float("nan")}),
        Done({}, {"seconds": float("inf")}),
        Done({}, {"": 1.0}),
        Done({}, {"a,b\n": 1.0}),
        Done({}, {str(number): 1.0 for number in range(1001)}),
    ],
)
def test_what_would_spoil_the_run_s_files_is_refused_by_name(done):
    with pytest.raises(ProtocolError) as refused:
        check_done("east", done, PARTS)
    assert refused.value.peer == "east"
