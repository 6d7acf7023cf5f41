"""What is in each image: the one source for the builder, the Containerfiles and the Apptainer definitions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

RELEASE: Final = "bookworm"
PUBLIC_BASE: Final = f"docker.io/library/debian:{RELEASE}-slim"
PYTHON: Final = "3.11"  # Debian's, whatever Python builds the image
# the interpreter, what compiled wheels link to, and the few commands a sandbox begins with
DEBIAN: Final = (
    *("base-files", "base-passwd", "libc-bin", "coreutils", "dash", "util-linux"),
    *("libgcc-s1", "libstdc++6", "python3-minimal", "libpython3-stdlib", "python-is-python3"),
)
WHEELS: Final = f"usr/local/lib/python{PYTHON}/dist-packages"
SUTURE: Final = "opt/suture"
USER: Final = "65534:65534"  # Debian's nobody, where nobody else is named
LICENCE: Final = "Apache-2.0"
# what no program of ours reads; paths beneath the root
TRIMMED: Final = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"),
    *("var/cache/*", "var/log/*", "var/lib/apt/lists/*", "etc/hostname", "etc/resolv.conf", "etc/machine-id"),
    *(f"{WHEELS}/{name}" for name in ("bin", "examples", "benchmarks", "_gdcm/gdcm[!s.]*")),
    *(f"{WHEELS}/torch/{name}" for name in ("include", "share", "lib/*.a", "test")),
    *(f"{WHEELS}/torch/bin/{name}" for name in ("*Test", "protoc*", "test_*")),
    *(f"{WHEELS}/torch/lib/lib{name}*.so" for name in ("torchbind_test", "jitbackend_test", "backend_with")),
    *(f"{WHEELS}/pyarrow/{name}" for name in ("include", "*flight*", "*_s3fs*", "libarrow_s3*")),
    f"{WHEELS}/pyarrow/_pyarrow_cpp_tests*",
    *(f"{WHEELS}/{name}" for name in ("PIL/_avif*", "pillow.libs/libavif*", "sympy/**/benchmarks")),
    "usr/lib/*/gconv",
    *(f"{WHEELS}/{name}" for name in ("**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.h")),
)
# libraries of many megabytes of names that only a debugger reads; not those that a wheel's maker rewrote
# (NAME.libs and what links to them), which no longer are as strip takes them to be
STRIPPED: Final = tuple(
    f"{WHEELS}/{name}"
    for name in ("torch/lib/libtorch_*.so", "pyarrow/lib*.so.*", "nacl/_sodium*.so", "yaml/_yaml*.so")
)
STRIP: Final = ("strip", "--strip-unneeded", "--preserve-dates")
# what neither our imports nor a first optimizer step reach is not compiled (sr: DICOM reports)
UNCOMPILED: Final = (
    "/torch/(_inductor/(codegen|fx_passes|kernel)|testing/_internal)/|/sympy/(physics|combinatorics|stats)/"
    "|/(networkx|setuptools|pygments|fsspec|sr)/|/numpy/distutils/|/pydantic/v1/"
)
COMPILE: Final = ("-m", "compileall", "-q", "-x", UNCOMPILED, "--invalidation-mode", "unchecked-hash")


@dataclass(frozen=True)
class Recipe:
    """One image: distributions by name, pinned in requirements.txt; our packages, with what is left out."""

    name: str
    title: str
    distributions: tuple[str, ...]
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


COORDINATOR: Final = Recipe(
    name="coordinator",
    title="Suture's coordinator: holds no program that could read a record",
    distributions=(
        *("monai", "msgspec", "numpy", "opacus", "pyarrow", "pydantic", "pynacl", "pyyaml", "pyzmq", "rich"),
        *("safetensors", "scikit-learn", "scipy", "setproctitle", "torch"),
    ),
    packages={"coordinator": ()},
)
SITE: Final = Recipe(
    name="site",
    title="Suture's site: prepares a hospital's records and trains on them",
    distributions=(*COORDINATOR.distributions, "meds", "pandas", "pillow", "pydicom", "python-gdcm"),
    packages={"coordinator": ("server",), "sites": ()},
)
RECIPES: Final = {recipe.name: recipe for recipe in (COORDINATOR, SITE)}
