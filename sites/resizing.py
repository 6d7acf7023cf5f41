"""Images of any size and spacing to squares of one size."""

import struct
import zlib
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps

from coordinator.errors import DataError

Floats = npt.NDArray[np.float32]
# Pillow, not MONAI: its filters cover every pixel that an output pixel stands for, so that nothing thin is
# lost or aliased, and it loads at once, where importing MONAI takes seconds in each site's preparation
FILTER: Final = Pillow.Resampling.BILINEAR
LARGEST: Final = 20_000  # pixels a side of a picture; a larger one is an attack on memory
BROKEN: Final = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, zlib.error,
    Pillow.DecompressionBombError,
)  # fmt: skip
SHARPER: Final = Pillow.Resampling.LANCZOS  # of 8-bit pictures, whose overshoot Pillow cuts off


def fitted(image: Floats, spacing: tuple[float, float], pixels: int) -> Floats:
    """Resize the whole of an image into a square, its physical proportions kept, dark where it ends.

    Args:
        image: (rows, columns) in [0, 1].
        spacing: distance between the centres of rows and of columns, in any unit.
        pixels: side of the square.
    """
    lengths = [size * by for size, by in zip(image.shape, spacing, strict=True)]
    rows, columns = (max(1, round(pixels * length / max(lengths))) for length in lengths)
    resized = Pillow.fromarray(image).resize((columns, rows), FILTER)
    square = np.zeros((pixels, pixels), dtype=np.float32)
    top, left = (pixels - rows) // 2, (pixels - columns) // 2
    square[top : top + rows, left : left + columns] = np.asarray(resized)
    return square


def picture(content: bytes, pixels: int) -> npt.NDArray[np.uint8]:
    """Decode a PNG or JPEG file's central square, turned as its camera was held: uint8 (3, pixels, pixels).

    The square keeps proportions and cuts the longer sides' ends off; grey becomes three equal channels.

    Raises:
        DataError: one short reason.
    """
    try:
        with Pillow.open(BytesIO(content), formats=("PNG", "JPEG")) as file:
            if max(file.size) > LARGEST:
                raise DataError(f"an image of more than {LARGEST} pixels a side")
            # a large JPEG is decoded at an eighth to a half of its size where that is twice what is needed
            file.draft("RGB", (2 * pixels, 2 * pixels))
            turned = ImageOps.exif_transpose(_coloured(file))
    except Pillow.UnidentifiedImageError:
        raise DataError("neither a PNG nor a JPEG image") from None
    except BROKEN:
        raise DataError("a damaged or truncated image") from None
    width, height = turned.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    square = turned.resize((pixels, pixels), SHARPER, box=(left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _coloured(file: Pillow.Image) -> Pillow.Image:
    if not file.mode.startswith("I"):
        return file.convert("RGB")
    # 16-bit grey: Pillow would cut it off at 255 instead of dividing it
    grey = Pillow.fromarray((np.asarray(file) >> 8).astype(np.uint8))
    return grey.convert("RGB")
