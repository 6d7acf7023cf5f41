"""Images beside what an attack made of them: worst, median and best, where every site allows them shown."""

import base64
import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sites.attacked import Attacked
from sites.leakage import psnr
from sites.scoring import as_pixels

Floats = NDArray[np.float32]
SHOWN: Final = {"worst": 0.0, "median": 0.5, "best": 1.0}  # of the attack's order by PSNR

LARGEST: Final = 128  # pixels a side


def show(
    attacked: Attacked, attack: str, guess: Mapping[str, Floats], truth: Mapping[str, Floats],
    auxiliary: Mapping[str, Floats],
) -> None:  # fmt: skip
    """Keep three images of an attack: original, reconstruction and the mean auxiliary image."""
    if not attacked.gallery or "image" not in guess:
        return
    place = [name for name in truth if name != "present"].index("image")
    here = truth["present"][:, place] > 0 if "present" in truth else np.ones(len(truth["image"]), dtype=bool)
    real, own, mean = (
        np.clip(as_pixels(each, attacked.statistics), 0, 1)
        for each in (truth["image"][here], guess["image"][here], auxiliary["image"].mean(axis=0))
    )
    if not len(real):
        return
    order = np.argsort([psnr(a, b) for a, b in zip(real, own, strict=True)])
    for which, share in SHOWN.items():
        record = int(order[round(share * (len(order) - 1))])
        row: dict[str, Any] = {
            "task": attacked.run.task, "strategy": attacked.run.strategy, "seed": attacked.run.seed,
            "attack": attack, "which": which, "psnr": psnr(real[record], own[record]),
            "original": png(real[record]), "reconstruction": png(own[record]), "baseline": png(mean),
        }  # fmt: skip
        attacked.pictures.append(row)


def png(image: Floats) -> str:
    """Give an image (channels, height, width) of values from 0 to 1 as base64 of a PNG."""
    pixels = (255 * image).round().astype(np.uint8)
    shaped = pixels[0] if len(pixels) != 3 else np.moveaxis(pixels, 0, 2)
    file = io.BytesIO()
    picture = Image.fromarray(shaped)
    picture.thumbnail((LARGEST, LARGEST))
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
