"""The table of equalities: it fails where a claim does, and knows every cut."""

import pytest

from tests.bench.exactness import MLP, MODELS, Claim, Side, claims, cuts, main

SMALL = (20, 7)


@pytest.mark.parametrize("bits", [True, False])
def test_a_false_claim_is_shown_and_fails(capsys: pytest.CaptureFixture[str], bits: bool) -> None:
    true = Claim(Side("fedprox", {"proximal_mu": 0.0}), Side("fedavg"), sizes=SMALL)
    false = Claim(Side("split", cut=("layer1",)), Side("fedavg"), sizes=SMALL, bits=bits)
    assert main([true]) == 0
    assert main([true, false]) == 1
    said = capsys.readouterr().out
    assert "2 claims, 1 failed" in said
    assert "NO" in said


def test_every_model_and_every_legal_cut_is_claimed() -> None:
    listed = {(claim.model[0].name, claim.one.cut) for claim in claims() if claim.one.preset == "split"}
    assert listed >= {(model.name, cut) for model, _ in MODELS for cut in cuts(model)[0]}
    assert cuts(MLP[0]) == ([("layer1",), ("layer2",)], [("layer1", "layer2")])
