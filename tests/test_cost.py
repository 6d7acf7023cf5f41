"""What a party paid: operations as torch and as a hand count them, and bytes that add up."""

from collections import Counter

import pytest
from federation import a_run, federate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party, whole
from coordinator.algorithms.split import parts_of
from coordinator.config import Model
from coordinator.cost import Clock, bytes_of, check_counted, costs_of, flops_per_record
from coordinator.errors import ConfigError
from coordinator.models.catalog import MODELS as CATALOG
from coordinator.models.outlines import empty_records, outline
from coordinator.models.stages import build, cut
from coordinator.protocol.sizes import COUNTS, Counts, Size

LOGISTIC = Model(name="logistic_regression")
MLP = Model(name="mlp", hidden=(16, 8))
CNN = Model(name="cnn", channels=(4, 8))
GRU = Model(name="gru", hidden=(5, 3))
FUSION = Model(name="fusion", hidden=(6, 4), channels=(4, 8))
TRANSFORMER = Model(name="transformer", hidden=(6, 3), blocks=2, heads=3)
RESNET = Model(name="resnet18", width=8)
DENSENET = Model(name="densenet121", width=8)
OWN = Model(name="module", path="own_networks:Small")
MODALITIES = {"table": (5,), "series": (4, 6), "image": (1, 8, 8), "present": (3,)}
MODELS = [
    (LOGISTIC, (6,)), (MLP, (6,)), (CNN, (1, 8, 8)), (GRU, (4, 6)), (FUSION, MODALITIES),
    (TRANSFORMER, (4, 5)), (RESNET, (1, 16, 16)), (DENSENET, (1, 32, 32)), (OWN, (1, 8, 8)),
]  # fmt: skip
SIZES = (40, 20, 9)


def holding(model, shape, held, cut_after=()):
    """Give a party with some stages of a model, as it is after a run."""
    run = a_run("split" if cut_after else "local", SIZES, model=model, cut=cut_after)
    builders = builders_of(run, shape)
    party = Party(run, Cohort(shape, SIZES, SIZES, SIZES), index=0)
    party.parts = {name: build(builders, 0, names) for name, names in held(run).items()}
    stages = outline(builders, shape)
    party.shapes = {
        name: stages[last].shape for name, last in zip(("front", "middle"), cut_after, strict=False)
    }
    return party


def test_the_mlp_s_operations_by_hand():
    party = holding(MLP, (6,), whole)
    products = 6 * 16 + 16 * 8 + 8 * 1
    # backward: each layer's weights, and each layer's input but the first's
    assert flops_per_record(party) == (2 * products, 2 * products + 2 * (16 * 8 + 8))


def test_the_logistic_regression_s_operations_by_hand():
    party = holding(LOGISTIC, (6,), whole)
    assert flops_per_record(party) == (2 * 6, 2 * 6)


def test_an_own_network_s_operations_by_hand():
    """8 pixels, 4 after the second convolution; the block has a 3x3 and a 1x1 convolution."""
    party = holding(OWN, (1, 8, 8), whole)
    first = convolution(3, 1, 4, 8)
    block = convolution(3, 4, 4, 8) + convolution(1, 4, 4, 8)
    rest = block + convolution(3, 4, 4, 4) + 4 * 16 * 6 + 6
    assert flops_per_record(party) == (2 * (first + rest), 2 * (first + 2 * rest))


def test_every_model_has_a_count_by_hand():
    assert {model.name for model, _ in MODELS} == set(CATALOG)


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=[model.name for model, _ in MODELS])
def test_every_layer_s_operations_are_counted(model, shape):
    check_counted(builders_of(a_run("local", SIZES, model=model), shape), shape)


@pytest.mark.parametrize(
    ("layer", "fine"),
    [
        (nn.Bilinear(6, 6, 1), False),
        (nn.LSTM(6, 1, batch_first=True), False),
        (nn.GRU(6, 1, batch_first=True), True),
        (nn.utils.parametrizations.weight_norm(nn.Linear(6, 1)), True),
    ],
)
def test_a_layer_that_torch_cannot_count_is_refused(layer, fine):
    """A linear layer stands before it, so the stage's own count is not 0."""

    class Stage(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.layer = nn.Linear(6, 6), layer

        def forward(self, x):
            x = self.before(x)
            found = self.layer(x, x) if isinstance(self.layer, nn.Bilinear) else self.layer(x)
            return found[0] if isinstance(found, tuple) else found

    if fine:
        check_counted({"only": Stage}, (6,))
        return
    with pytest.raises(ConfigError, match=r"operations of 'only\.layer' count as 0"):
        check_counted({"only": Stage}, (6,))


def test_the_cnn_s_operations_by_hand():
    party = holding(CNN, (1, 8, 8), whole)
    first, second, head = 9 * 1 * 4 * 64, 9 * 4 * 8 * 16, 8
    assert flops_per_record(party) == (2 * (first + second + head), 2 * (first + 2 * second + 2 * head))


def gru_products(steps, columns, width):
    """Count a GRU's products, forward and backward; the input and the first state get no gradient."""
    forward = steps * 3 * width * (columns + width)
    return forward, forward + (steps - 1) * 3 * width * width


def test_the_gru_s_operations_by_hand():
    party = holding(GRU, (4, 6), whole)
    forward, backward = gru_products(4, 6, 5)
    head = 5 * 3 + 3
    assert flops_per_record(party) == (2 * (forward + head), 2 * (backward + 2 * head))


def test_the_fusion_s_operations_by_hand():
    party = holding(FUSION, MODALITIES, whole)
    table, first, second, image = 5 * 6, 9 * 1 * 4 * 64, 9 * 4 * 8 * 16, 8 * 6
    forward, backward = gru_products(4, 6, 6)
    together = (3 * 6 + 3) * 4 + 4  # three encodings and three flags
    assert flops_per_record(party) == (
        2 * (table + forward + first + second + image + together),
        2 * (table + backward + first + 2 * (second + image + together)),
    )


def transformer_products(steps, width):
    """Count a block's products: queries, keys and values; scores and means; what they give; hidden layer."""
    return 3 * steps * width**2 + 2 * steps**2 * width + steps * width**2 + 8 * steps * width**2


def test_the_transformer_s_operations_by_hand():
    party = holding(TRANSFORMER, (4, 5), whole)
    embed, rest = 4 * 5 * 6, 2 * transformer_products(4, 6) + 6 * 3 + 3
    assert flops_per_record(party) == (2 * (embed + rest), 2 * (embed + 2 * rest))


def convolution(kernel, inputs, outputs, side):
    return kernel**2 * inputs * outputs * side**2


def test_the_resnet_s_operations_by_hand():
    """16 pixels: 8 after the stem, 4 after its pooling, then 2, 1 and 1; widths 8, 16, 32 and 64."""
    party = holding(RESNET, (1, 16, 16), whole)
    stem, rest = convolution(7, 1, 8, 8), 4 * convolution(3, 8, 8, 4)
    for inputs, side in ((8, 2), (16, 1), (32, 1)):
        first, others = convolution(3, inputs, 2 * inputs, side), convolution(3, 2 * inputs, 2 * inputs, side)
        rest += first + 3 * others + convolution(1, inputs, 2 * inputs, side)
    rest += 64
    assert flops_per_record(party) == (2 * (stem + rest), 2 * (stem + 2 * rest))


def test_the_densenet_s_operations_by_hand():
    """32 pixels: 16 after the stem, 8 in the first block, halved by transitions; growth 4, bottleneck 16."""
    party = holding(DENSENET, (1, 32, 32), whole)
    stem, rest, channels, side = convolution(7, 1, 8, 16), 0, 8, 8
    for layers in (6, 12, 24, 16):
        for _ in range(layers):
            rest += convolution(1, channels, 16, side) + convolution(3, 16, 4, side)
            channels += 4
        if layers != 16:
            rest += convolution(1, channels, channels // 2, side)
            channels, side = channels // 2, side // 2
    rest += channels
    assert flops_per_record(party) == (2 * (stem + rest), 2 * (stem + 2 * rest))


# with 1,000 classes and three channels (torchvision's tables); MONAI's shortcuts have biases
PUBLISHED = {"resnet18": (11_689_512 + 128 + 256 + 512, 512), "densenet121": (7_978_856, 1024)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_monai_s_networks_have_the_published_sizes(name):
    total, last = PUBLISHED[name]
    expected = total - 999 * (last + 1) - 2 * 7 * 7 * 64  # one logit, one channel
    shape = (1, 29, 29)
    stages = outline(builders_of(a_run("local", SIZES, model=Model(name=name)), shape), shape)
    assert sum(stage.parameters for stage in stages.values()) == expected


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=[model.name for model, _ in MODELS])
def test_operations_equal_torch_s_own_count(model, shape):
    party = holding(model, shape, whole)
    with FlopCounterMode(display=False) as counted:
        output = party.parts["model"](empty_records(2, shape))
        forward = counted.get_total_flops()
        output.sum().backward()
    found = flops_per_record(party)
    assert found == (forward / 2, (counted.get_total_flops() - forward) / 2)


@pytest.mark.parametrize(
    ("model", "shape", "after"),
    [
        (MLP, (6,), ("layer1",)),
        (MLP, (6,), ("layer2",)),
        (MLP, (6,), ("layer1", "layer2")),
        (CNN, (1, 8, 8), ("conv1",)),
        (CNN, (1, 8, 8), ("conv1", "conv2")),
        (GRU, (4, 6), ("gru",)),
        (GRU, (4, 6), ("gru", "layer1")),
        (FUSION, MODALITIES, ("fronts",)),
        (FUSION, MODALITIES, ("fronts", "layer1")),
        (TRANSFORMER, (4, 5), ("embed",)),
        (TRANSFORMER, (4, 5), ("block1", "pool")),
        (RESNET, (1, 16, 16), ("layer2.0",)),
        (DENSENET, (1, 32, 32), ("features.denseblock2",)),
        (OWN, (1, 8, 8), ("block", "second")),
    ],
)
def test_the_parts_of_a_cut_add_up_to_the_whole(model, shape, after):
    pieces = cut(tuple(builders_of(a_run("local", SIZES, model=model), shape)), after)
    names = ("front", "back") if len(after) == 1 else ("front", "middle", "head")
    held = holding(model, shape, lambda run: dict(zip(names, pieces, strict=True)), after)
    counts = {}
    for name, part in held.parts.items():
        held.parts = {name: part}
        counts[name] = flops_per_record(held)
    whole_forward, whole_backward = flops_per_record(holding(model, shape, whole))
    assert sum(forward for forward, _ in counts.values()) == whole_forward
    assert sum(backward for _, backward in counts.values()) == whole_backward
    assert all(forward > 0 for forward, _ in counts.values())


@pytest.mark.parametrize(("preset", "after"), [("split", ("layer1",)), ("split_u", ("layer1", "layer2"))])
def test_each_party_counts_the_parts_it_holds(preset, after):
    run = a_run(preset, SIZES, cut=after, model=MLP)
    coordinator, outcomes, _ = federate(run, SIZES)
    here, there = parts_of(run)
    site = outcomes["site0"][0]
    assert (set(site.parts), set(coordinator.parts)) == (set(here), set(there))
    total = flops_per_record(site)[0] + flops_per_record(coordinator)[0]
    assert total == flops_per_record(holding(MLP, (6,), whole))[0]


@pytest.mark.parametrize("preset", ["local", "fedavg", "split", "split_u"])
def test_costs_add_up_over_the_sites(preset):
    cut = {"cut": ("layer1", "layer2")} if preset == "split_u" else {}
    run = a_run(preset, SIZES, training={"rounds": 2, "local_epochs": 2}, **cut)
    coordinator, outcomes, channel = federate(run, SIZES)
    paid = costs_of(coordinator, Clock(), channel.lines.sizes())
    parties = [outcomes[name][0] for name in run.sites]  # outcomes come in order of arrival
    sites = [costs_of(outcomes[n][0], Clock(), outcomes[n][3].line.counts) for n in run.sites]
    counts = [outcomes[name][3].line.bytes for name in run.sites]
    assert sum(counts, Counter()) == channel.lines.counted()  # by direction, phase and kind
    for name in (f"{count}_{way}" for count in COUNTS for way in ("up", "down")):
        assert sum(site[name] for site in sites) == paid[name]
        assert (paid[name] > 0) == (preset != "local" or not name.startswith("payload"))
        assert sum(size for key, size in paid.items() if key.startswith(f"{name}.")) == paid[name]
    forward, backward = flops_per_record(outcomes["site0"][0])
    for size, site, party in zip(SIZES, sites, parties, strict=True):
        assert site["flops"] == 2 * 2 * size * (forward + backward) + party.records_scored * forward
        assert party.records_scored == 2 * party.cohort.validation[party.index] + 7
        assert site["steps"] == 2 * 2 * -(-size // 16)
        assert site["parameters"] == sum(
            p.numel() for part in party.parts.values() for p in part.parameters()
        )
        assert site["peak_memory"] > 2**20
    if preset in ("split", "split_u"):
        assert paid["steps"] == sum(site["steps"] for site in sites)


def test_bytes_are_totalled_by_direction_and_kind():
    counts = Counts()
    for name, size in {"up.training.activations": (4, 5, 9), "up.control.hello": (0, 2, 37)}.items():
        counts.add(name, Size(*size))
    assert bytes_of(counts) == {
        "payload_up": 4, "payload_up.training.activations": 4, "payload_up.control.hello": 0,
        "bytes_up": 7, "bytes_up.training.activations": 5, "bytes_up.control.hello": 2,
        "wire_up": 46, "wire_up.training.activations": 9, "wire_up.control.hello": 37,
        "payload_down": 0, "bytes_down": 0, "wire_down": 0,
    }  # fmt: skip


def test_a_clock_never_goes_back():
    clock = Clock()
    first = clock.read()
    sum(range(10_000))
    second = clock.read()
    assert set(first) == {"seconds", "cpu_seconds", "waiting_seconds"}
    assert all(second[name] >= first[name] >= 0 for name in first)


def test_a_clock_goes_on_from_a_commit_with_the_seconds_of_waiting():
    waited = [5.0]
    clock = Clock(lambda: waited[0])
    waited[0] = 7.0
    assert clock.read()["waiting_seconds"] == 2.0
    later = Clock(lambda: waited[0])
    later.load(clock.state())
    waited[0] = 7.5
    assert later.read()["waiting_seconds"] == 2.5
