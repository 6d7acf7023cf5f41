"""Random changes to training images."""

import numpy as np
import pytest
import torch

from sites.augment import LARGEST_SHIFT, MATRICES, _resampled, augmented

EVERY = ("flip", "rotate", "shift", "contrast")
DRAW = (3, "augment", 7)


@pytest.fixture(scope="module")
def images():
    """Make 24 smooth pictures of three channels, normalised: blobs off the centre."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    centres = draw.uniform(-0.5, 0.5, (24, 3, 2, 1, 1))
    blobs = np.exp(-((x - centres[:, :, 0]) ** 2 + (y - centres[:, :, 1]) ** 2) / 0.1)
    return torch.from_numpy(((blobs - blobs.mean()) / blobs.std()).astype(np.float32))


@pytest.mark.parametrize("how", [(name,) for name in EVERY] + [EVERY], ids="-".join)
def test_a_draw_decides_the_change(how, images):
    kept = images.clone()
    first, again = augmented(images, how, DRAW), augmented(images, how, DRAW)
    other = augmented(images, how, (3, "augment", 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, kept)
    assert first.shape == images.shape
    assert first.dtype == torch.float32
    assert first.is_contiguous()
    assert type(first) is torch.Tensor


def test_no_changes_are_asked_for(images):
    assert torch.equal(augmented(images, (), DRAW), images)


@pytest.mark.parametrize("how", [(name,) for name in EVERY], ids="-".join)
def test_some_images_change_and_some_stay(how, images):
    changed = augmented(images, how, DRAW)
    same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(images, changed, strict=True)]
    assert 4 < sum(same) < 20


def test_a_flip_is_the_mirror_image(images):
    for image, changed in zip(images, augmented(images, ("flip",), DRAW), strict=True):
        mirrored = torch.allclose(changed, image.flip(2), atol=1e-5)
        assert mirrored or torch.allclose(changed, image, atol=1e-5)


def test_contrast_scales_an_image_by_one_factor(images):
    changed = augmented(images, ("contrast",), DRAW)
    factors = (changed / images).flatten(1)
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), rtol=1e-3)
    assert 0.8 <= factors.min() < 0.95
    assert 1.05 < factors.max() <= 1.2001


def test_shifts_stay_small(images):
    """A picture moved by at most a twentieth of its side: its middle keeps values from nearby."""
    reach = int(np.ceil(LARGEST_SHIFT * images.shape[-1]))
    for image, changed in zip(images, augmented(images, ("shift",), DRAW), strict=True):
        middle = changed[:, reach:-reach, reach:-reach]
        near = image.unfold(1, 2 * reach + 1, 1).unfold(2, 2 * reach + 1, 1)
        assert (middle <= near.amax((-1, -2)) + 1e-5).all()
        assert (middle >= near.amin((-1, -2)) - 1e-5).all()


def test_a_rotation_turns_as_monais_own_does(images):
    from monai.transforms import Rotate

    turns = MATRICES["rotate"](np.random.default_rng(5), 3)
    for turn in turns:
        angle = -float(np.arctan2(turn[1, 0], turn[0, 0]))  # MONAI counts from rows to columns
        assert 0 < abs(angle) <= 0.2
        one = images[:1]
        rotate = Rotate(angle, keep_size=True, padding_mode="border", align_corners=False)
        expected = torch.as_tensor(np.asarray(rotate(one[0])))
        assert torch.allclose(_resampled(one, turn[None])[0], expected, atol=1e-3)


def test_an_absent_image_stays_empty():
    assert not augmented(torch.zeros(4, 1, 16, 16), EVERY, DRAW).any()
