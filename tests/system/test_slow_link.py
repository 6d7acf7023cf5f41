"""A link of 1 Mbit/s, 200 ms each way and 1 % loss: a study over it ends, and nobody is taken for dead."""

import pytest

from tests import namespaces
from tests.conftest import require
from tests.e2e.tiny_study import TASK, launch, prepare_table
from tests.hostile import Federation
from tests.slow_link import HOSTS, enter, linked

pytestmark = pytest.mark.timeout(600)  # a hang, not slowness
NEAR, FAR = HOSTS
# a model that takes some seconds each way, more than a heartbeat's interval, and in more than one chunk
OPTIONS = [
    f"--set=tasks.{TASK}.{key}"
    for key in ("training.rounds=2", "training.learning_rates=[0.01]", "model.hidden=[320, 256]")
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    if found := namespaces.missing():
        require("netns", found)
    folder = tmp_path_factory.mktemp("slow")
    plan = prepare_table(folder, options=OPTIONS)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    return folder, plan, folder / "results" / "agree" / "statistics.json"


@pytest.mark.parametrize("strategy", ["split", "fedavg"])
def test_a_study_over_a_bad_link_ends_as_over_a_good_one(study, tmp_path, strategy):
    folder, plan, agreed = study
    spec = plan["runs"][f"{TASK}/{strategy}/0"]["spec"]
    launch(folder, spec, strategy, statistics=agreed)
    federation = Federation(folder, tmp_path / "run", spec, agreed)
    with linked(megabits=1, delay=0.2, loss=0.01) as relay:
        try:
            federation.start("coordinator", within=enter(NEAR), host=HOSTS[NEAR])
            federation.start("north", within=enter(NEAR))
            federation.start("south", within=enter(FAR))
            out = federation.ended_well(400)
        finally:
            federation.close()
        passed, lost = (
            sum(getattr(link, name) for link in relay.links.values()) for name in ("passed", "lost")
        )
    print(f"{strategy}: {passed} bytes passed, {lost} packets were lost")
    assert lost
    assert (out / "interruptions.jsonl").read_text() == ""
    undisturbed = folder / "results" / strategy / "weights.sha256"
    assert (out / "weights.sha256").read_text() == undisturbed.read_text()
