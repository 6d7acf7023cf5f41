"""Images of any size and spacing to squares of one size."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from coordinator.errors import DataError
from sites.resizing import fitted, picture


@pytest.mark.parametrize(
    ("shape", "spacing"), [((300, 200), (0.5, 0.5)), ((200, 300), (1.0, 0.4)), ((90, 90), (0.7, 0.7))]
)
def test_a_disc_stays_a_disc_whatever_its_pixels_shape(shape, spacing):
    y, x = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * by for n, by in zip(shape, spacing, strict=True)), indexing="ij"
    )
    lengths = np.multiply(shape, spacing)
    disc = (np.hypot(x, y) < min(lengths) / 3).astype(np.float32)
    seen = fitted(disc, spacing, 64)
    assert seen.shape == (64, 64)
    assert seen.dtype == np.float32
    rows, columns = (np.flatnonzero((seen > 0.5).any(axis=axis)) for axis in (1, 0))
    assert abs(len(rows) - len(columns)) <= 2
    assert len(rows) == pytest.approx(64 * 2 / 3 * min(lengths) / max(lengths), abs=2)


def test_what_is_outside_the_image_is_dark():
    seen = fitted(np.ones((10, 40), np.float32), (1, 1), 32)
    assert (seen[12:20] == 1).all()
    assert not seen[:12].any()
    assert not seen[20:].any()


def test_thin_lines_are_averaged_not_lost():
    lines = np.zeros((640, 640), np.float32)
    lines[:, ::8] = 1
    assert fitted(lines, (1, 1), 16) == pytest.approx(np.full((16, 16), 1 / 8), abs=0.02)


def png(array, **how):
    content = io.BytesIO()
    Pillow.fromarray(array).save(content, **{"format": "PNG", **how})
    return content.getvalue()


def test_a_picture_becomes_its_central_square():
    colours = np.zeros((20, 40, 3), np.uint8)
    colours[:, :10], colours[:, 10:30], colours[:, 30:] = (255, 0, 0), (0, 200, 0), (0, 0, 255)
    seen = picture(png(colours), 16)
    assert seen.shape == (3, 16, 16)
    assert seen.dtype == np.uint8
    inside = seen[:, :, 2:-2]  # the filter sees a little beyond the square
    assert (inside[1] == 200).all()
    assert not inside[[0, 2]].any()
    assert np.abs(seen[1] - 200.0).max() < 10


@pytest.mark.parametrize(("dtype", "brightest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_grey_becomes_three_channels_of_the_same(dtype, brightest):
    ramp = np.tile(np.linspace(0, brightest, 32), (32, 1)).astype(dtype)
    seen = picture(png(ramp), 32)
    assert np.abs(seen - np.linspace(0, 255, 32)).max() <= 1
    assert (seen == seen[:1]).all()


def test_a_photograph_is_turned_as_its_camera_was_held():
    top = np.zeros((32, 32), np.uint8)
    top[:16] = 255
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was turned to the right
    seen = picture(png(top, format="JPEG", exif=exif.tobytes()), 32)
    assert seen[0, :, 20:].mean() > 240
    assert seen[0, :, :12].mean() < 15


def test_a_large_photograph_looks_as_if_it_were_decoded_whole():
    y, x = np.mgrid[0:1200, 0:1600]
    waves = (80 * np.sin(x / 90) * np.cos(y / 70) + 120).astype(np.uint8)
    whole = np.asarray(Pillow.fromarray(waves[:, 200:1400]).resize((48, 48), Pillow.Resampling.LANCZOS))
    assert np.abs(picture(png(waves, format="JPEG", quality=95), 48)[0].astype(int) - whole).max() <= 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "neither a PNG nor a JPEG"),
        (b"GIF89a and more", "neither a PNG nor a JPEG"),
        (png(np.zeros((64, 64), np.uint8), format="BMP"), "neither a PNG nor a JPEG"),
        (png(np.arange(4096, dtype=np.uint8).reshape(64, 64))[:90], "damaged or truncated"),
        (png(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), format="JPEG")[:900], "damaged"),
        (png(np.zeros((1, 25_000), np.uint8)), "more than 20000 pixels a side"),
    ],
)
def test_what_is_no_picture_is_refused(content, reason):
    with pytest.raises(DataError, match=reason):
        picture(content, 16)
