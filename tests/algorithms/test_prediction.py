"""A finished model on new records: what the run itself gave its test records, bit for bit, cut or whole."""

from threading import Thread

import pytest
import torch
from federation import LIMIT
from finished_run import finish

from coordinator import final_model, specs
from coordinator.algorithms.prediction import ready, site_logits, whole_logits
from coordinator.driver import algorithm
from coordinator.errors import ProtocolError
from coordinator.export import gathered
from coordinator.exported import whole_party
from coordinator.model_files import About, checked_parts, part_hash
from coordinator.presets import PRESETS
from coordinator.protocol.callers import Callers
from coordinator.protocol.inproc import Hub
from coordinator.protocol.messages import Activations, Done, Features, Hello, Scores, Validated, Welcome
from coordinator.protocol.site_channel import SiteChannel
from coordinator.server.predicting import answer, coordinator_part, prediction_of
from coordinator.specs import Prediction
from sites.gate import Gate

CUT = [name for name, axes in PRESETS.items() if axes["algorithm"] == "split"]
AT_SITES = [name for name, axes in PRESETS.items() if axes["algorithm"] != "split" and name != "centralized"]
SGD = {"training": {"optimizer": "sgd"}}


class Served:
    """A coordinator that serves a finished run, in a thread, and what it noted."""

    def __init__(self, folder):
        self.model, self.notes, self.hub = final_model.read(folder), [], Hub()
        digests = {
            site: specs.digest(prediction_of(self.model, site))
            for site in self.model.run.sites
            if site in self.model.holders
        }
        party = coordinator_part(self.model, folder)
        self.callers = Callers(self.hub, digests, limit=LIMIT, note=self.notes.append)
        self._on = True
        self._thread = Thread(target=self._serve, args=(party,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._on = False
        self._thread.join(10)

    def _serve(self, party):
        while self._on:
            self.callers.serve(0.01, lambda site, message: answer(party, site, message))


def site_parts(folder, site):
    model = final_model.read(folder)
    what, tensors = checked_parts(folder / "model" / f"{site}.safetensors", model)
    return ready(what, algorithm(what.run.algorithm).parts_of(what.run)[0], tensors), what


def enter(served, site, party, what, tmp_path, *, gate=True):
    """Connect a site that holds these parts; gives its channel and what left."""
    parts = {name: part_hash(dict(part.state_dict())) for name, part in party.parts.items()}
    spec = Prediction(run=what.run, site=site, statistics=what.statistics, parts=parts)
    sent, release = [], Gate(spec, tmp_path / f"{site}.jsonl").release

    def note(message, size):
        if gate:
            release(message, size)
        sent.append(message)

    channel = SiteChannel(served.hub.spoke(site), limit=LIMIT, release=note)
    channel.enter(Hello(site, specs.digest(spec), 0), lambda refusals: None)
    return channel, sent


@pytest.mark.parametrize("preset", CUT)
def test_a_cut_model_predicts_what_its_run_did(preset, tmp_path):
    folder, everyone = finish(tmp_path, preset)
    with Served(folder) as served:
        for site in ("site1", "site0"):
            party, what = site_parts(folder, site)
            channel, sent = enter(served, site, party, what, tmp_path)
            for _ in range(2):  # as often as it likes
                logits = site_logits(party, everyone[site][0].rows.test[0], channel)
                assert torch.equal(logits, everyone[site][1][0])
            channel.leave(Done({}, {}))
            assert {type(message) for message in sent} == {Hello, Activations, Done}
            assert all(message.labels is None for message in sent if isinstance(message, Activations))
            assert channel.line.bytes["up.prediction.activations"] > 0
        assert served.callers.served == 2


@pytest.mark.parametrize("preset", AT_SITES)
def test_a_whole_model_at_a_site_predicts_what_its_run_did(preset, tmp_path):
    folder, everyone = finish(tmp_path, preset, **(SGD if preset in ("scaffold", "fednova") else {}))
    for site in ("site0", "site1"):
        party, _ = site_parts(folder, site)
        logits = whole_logits(party, everyone[site][0].rows.test[0])
        assert torch.equal(logits, everyone[site][1][0])


@pytest.mark.parametrize("preset", ["centralized", "fedavg", "fedbn", "cyclic", "local", *CUT])
def test_parts_put_together_predict_what_they_did_apart(preset, tmp_path):
    folder, everyone = finish(tmp_path, preset)
    model = final_model.read(folder)
    if not model.whole.possible:
        assert PRESETS[preset]["site_parts"] == "private"
        return
    given = folder / "model" / "site1.safetensors" if "site" in model.whole.needs else None
    found = gathered(model, folder, given)
    tensors = {k: v for parts in found.values() for part in parts.values() for k, v in part.items()}
    party = whole_party(model.run, model.input_shapes, tensors)
    last = everyone["pooled" if preset == "centralized" else "site1"]
    assert torch.equal(whole_logits(party, last[0].rows.test[-1]), last[1][-1])


@pytest.fixture
def split(tmp_path):
    folder, everyone = finish(tmp_path, "split")
    return folder, everyone


def test_a_site_with_other_parts_or_statistics_is_refused_and_told_why(split, tmp_path):
    folder, _ = split
    party, what = site_parts(folder, "site0")
    changed, _ = site_parts(folder, "site0")
    with torch.no_grad():
        next(changed.parts["front"].parameters()).add_(1e-3)
    other = About(**{**dict(what), "statistics": "0" * 64})
    with Served(folder) as served:
        for wrong in ((changed, what), (party, other)):
            with pytest.raises(ProtocolError, match=r"refused: .* or not the parts that 'site0' ended"):
                enter(served, "site0", *wrong, tmp_path)
        enter(served, "site0", party, what, tmp_path)[0].leave(Done({}, {}))
        assert served.callers.served == 1
    assert sum(note.startswith("refused") for note in served.notes) == 2


X = torch.zeros(3, 16).numpy()
WRONG = {
    "labels": Activations((-1, -1, 0, -1), X, X[:, 0].copy()),
    "another width": Activations((-1, -1, 0, -1), X[:, :5].copy(), None),
    "too many at once": Activations((-1, -1, 0, -1), torch.zeros(257, 16).numpy(), None),
    "no record": Activations((-1, -1, 0, -1), X[:0].copy(), None),
    "another site's place": Activations((-1, -1, 1, -1), X, None),
    "a training step": Activations((0, 0, 0, 0), X, None),
    "another message": Validated((0, 0, 0, -1), 0.0, 1, 0.0, 1),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_no_prediction_ends_that_site_s_conversation_alone(how, split, tmp_path):
    folder, everyone = split
    with Served(folder) as served:
        well = site_parts(folder, "site1")
        good, _ = enter(served, "site1", *well, tmp_path)
        bad, _ = enter(served, "site0", *site_parts(folder, "site0"), tmp_path, gate=False)
        bad.send(WRONG[how])
        with pytest.raises(ProtocolError, match="'coordinator' refused: 'site0' sent"):
            bad.receive(Scores)
        bad.send(Activations((-1, -1, 0, -1), X, None))  # nor does it go on
        logits = site_logits(well[0], everyone["site1"][0].rows.test[0], good)
        assert torch.equal(logits, everyone["site1"][1][0])
        good.leave(Done({}, {}))
        assert sum(note.startswith("refused") for note in served.notes) == 1


def test_nothing_is_answered_before_the_hello(split):
    folder, _ = split
    with Served(folder) as served:
        channel = SiteChannel(served.hub.spoke("site0"), limit=LIMIT, release=lambda message, size: None)
        channel.send(Activations((-1, -1, 0, -1), X, None))
        with pytest.raises(ProtocolError, match="before its Hello"):
            channel.receive(Features)


def test_a_site_speaks_only_for_itself(split, tmp_path):
    folder, _ = split
    party, what = site_parts(folder, "site0")
    parts = {name: part_hash(dict(part.state_dict())) for name, part in party.parts.items()}
    spec = Prediction(run=what.run, site="site0", statistics=what.statistics, parts=parts)
    with Served(folder) as served:
        channel = SiteChannel(served.hub.spoke("site1"), limit=LIMIT, release=lambda message, size: None)
        channel.send(Hello("site0", specs.digest(spec), 0))
        with pytest.raises(ProtocolError, match="'site1' says it is 'site0'"):
            channel.receive(Welcome)
