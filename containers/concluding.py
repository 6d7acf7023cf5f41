"""A gang's end: how each party ended, what is handed over, and what a person is told."""

from containers.attempt import forget_commits
from containers.follow import LINGER_SECONDS, Ending
from containers.gang import Gang
from containers.gathering import Gathering
from containers.images.furnishing import digests
from containers.images.layer import digests_of
from containers.outcome import ECHOES, Outcome, earliest, outcome
from containers.progress import clock
from containers.report import failure, lingering
from containers.results import collect
from containers.runtimes import RUNTIMES
from containers.setting import Setting, isolation
from containers.starting import log_of
from containers.watch import Watch

REPORT_SECONDS = 20.0  # srun ends all launchers when one fails: the first one's report comes before that


def conclude(gathering: Gathering, setting: Setting, watch: Watch, ending: Ending, seconds: float) -> int:
    """Write down how each party ended; hand over the results, or say what went wrong."""
    gang, say = gathering.gang, setting.voice.say
    own = [outcome(member, gang.state / member.party) for member in watch.members]
    if setting.where.rank:
        return follow_suit(gathering, setting, watch, ending, own)
    if ending.why == "finished" and not earliest(own):
        stayed = gathering.wait_for_others(watch, LINGER_SECONDS)
        ending = Ending("lingered", tuple(sorted(stayed))) if stayed else ending
    gathering.look()
    elsewhere = gathering.elsewhere().values()
    outcomes = [*own, *(found for ended in elsewhere for found in ended.outcomes)]
    gathering.end(ending.why, own)
    culprit = earliest(outcomes)
    if watch.stopped_by and was_stopped(ending, outcomes, alone=setting.where.alone):
        say(f"{gang.name}: stopped by {watch.stopped_by.name}; every party has left, nothing was handed over")
        return 128 + watch.stopped_by
    if ending.why == "lingered":
        say(lingering(gang, ending.stayed))
        return 1
    if culprit:
        say(blame(gathering, culprit, outcomes))
        return culprit.code
    if len(outcomes) < (2 if gang.goes_on else len(gang.parties)):
        say(f"{gang.name}: failed, because the coordinator left before the sites could start; see its log")
        return 1
    hand_over(gang, setting)
    say(f"{gang.name}: done in {clock(seconds)}; results in {gang.results}")
    return 0


def follow_suit(
    gathering: Gathering, setting: Setting, watch: Watch, ending: Ending, own: list[Outcome]
) -> int:
    """End as a launcher beside the first, which hears how the parties here ended and reports it."""
    culprit = earliest(own)
    gathering.end(ending.why, own)
    if ending.why != "finished":
        gathering.wait_for_others(watch, REPORT_SECONDS)
    if watch.stopped_by:
        return 128 + watch.stopped_by
    return culprit.code if culprit else int(ending.why != "finished")


def was_stopped(ending: Ending, outcomes: list[Outcome], *, alone: bool) -> bool:
    """Say whether a signal ended a gang, and no party's own fault; parties on other nodes may be an echo."""
    if alone:
        return ending.why == "stopped"
    own_fault = any(found.code and found.cause not in ECHOES for found in outcomes)
    return ending.why != "finished" and not own_fault


def hand_over(gang: Gang, setting: Setting) -> None:
    """Collect the results of all parties; what a finished run could have gone on from is not needed."""
    runtime = RUNTIMES[setting.runtime]
    walls = {"runtime": setting.runtime, "isolation": isolation(gang, setting)}
    walled = not setting.isolation.startswith("none")
    inside = {"images": digests(runtime.IMAGES), "layers": digests_of(gang.sites) if walled else {}}
    collect(gang, walls | {name: found for name, found in inside.items() if found})
    forget_commits(gang)


def blame(gathering: Gathering, culprit: Outcome, outcomes: list[Outcome]) -> str:
    """Report the earliest cause, with the end of that party's log."""
    log = log_of(gathering.gang, culprit.party, gathering.attempt)
    return failure(gathering.gang, culprit, [found for found in outcomes if found is not culprit], log)
