"""The recipes as a Containerfile and an Apptainer definition, where a public base can be reached.

``python -m containers recipes`` writes them; where no registry is, ``python -m containers build`` makes the
same content from Debian's packages.
"""

import shlex
from collections.abc import Iterator

from containers.images.recipe import (
    COMPILE,
    DEBIAN,
    LICENCE,
    PUBLIC_BASE,
    PYTHON,
    RECIPES,
    STRIP,
    STRIPPED,
    SUTURE,
    TRIMMED,
    USER,
    WHEELS,
    Recipe,
)
from containers.images.source import version

HEAD = "# written by `python -m containers recipes` from containers/images/recipe.py; edit that\n"


def texts() -> dict[str, str]:
    """Write each recipe in both languages, by file name."""
    return {
        name: text
        for recipe in RECIPES.values()
        for name, text in (
            (f"{recipe.name}.Containerfile", containerfile(recipe)),
            (f"{recipe.name}.def", definition(recipe)),
        )
    }


def containerfile(recipe: Recipe) -> str:
    """Write what ``docker build`` or ``podman build`` reads; BASE may name another registry's Debian."""
    labels = " \\\n      ".join(f'{name}="{value}"' for name, value in labels_of(recipe))
    return "\n".join([
        f"{HEAD}# docker build -f containers/images/{recipe.name}.Containerfile -t suture-{recipe.name} .",
        "# --build-arg PIP_EXTRA_INDEX_URL=... where torch has its builds for processors alone",
        f"ARG BASE={PUBLIC_BASE}",
        "FROM ${BASE} AS interpreter",
        f"RUN {_joined(interpreter())}",
        "",
        "FROM interpreter AS wheels",
        "ARG PIP_EXTRA_INDEX_URL",
        "COPY requirements.txt /requirements.txt",
        f"RUN {_joined(wheels(recipe))}",
        "",
        "FROM interpreter",
        f"COPY --from=wheels /{WHEELS} /{WHEELS}",
        *(f"COPY {name} /{SUTURE}/{name}" for name in recipe.packages),
        f"RUN {_joined(source(recipe))}",
        f"LABEL {labels}",
        f"USER {USER}",
        "",
    ])  # fmt: skip


def definition(recipe: Recipe) -> str:
    """Write what ``apptainer build`` reads."""
    steps = [*interpreter(), *wheels(recipe), *source(recipe), "rm /requirements.txt"]
    return "\n".join([
        f"{HEAD}# apptainer build suture-{recipe.name}.sif containers/images/{recipe.name}.def",
        "Bootstrap: docker",
        f"From: {PUBLIC_BASE.removeprefix('docker.io/library/')}",
        "",
        "%files",
        "    requirements.txt /requirements.txt",
        *(f"    {name} /{SUTURE}/{name}" for name in recipe.packages),
        "",
        "%post",
        "    set -e",
        *(f"    {step}" for step in steps),
        "",
        "%labels",
        *(f"    {name} {value}" for name, value in labels_of(recipe)),
        "",
    ])  # fmt: skip


def interpreter() -> Iterator[str]:
    """The shell's lines that make a public Debian the base that is made from its packages elsewhere."""
    yield "apt-get update"
    yield f"apt-get install --yes --no-install-recommends {' '.join(DEBIAN)}"


def wheels(recipe: Recipe) -> Iterator[str]:
    """The shell's lines that install the pinned wheels, with a pip that does not stay."""
    yield "apt-get install --yes --no-install-recommends python3-pip binutils"
    yield (
        "python3 -m pip install --no-cache-dir --no-compile --only-binary=:all:"
        f" --constraint /requirements.txt --target /{WHEELS} {' '.join(recipe.distributions)}"
    )
    yield from _trim()
    yield " ".join([*STRIP, *(f"/{pattern}" for pattern in STRIPPED)])
    yield "apt-get purge --yes --auto-remove python3-pip binutils"
    yield f"printf '/{SUTURE}\\n' > /{WHEELS}/suture.pth"
    # it faults a wheel that holds a file for other Pythons
    yield f"({_compile(WHEELS, f'usr/lib/python{PYTHON}')} || true)"


def source(recipe: Recipe) -> Iterator[str]:
    """The shell's lines that take from our packages what the image has no use for, and compile the rest."""
    for name, left_out in recipe.packages.items():
        yield from (f"rm -r /{SUTURE}/{name}/{part}" for part in left_out)
    yield f"find /{SUTURE} -depth -name __pycache__ -exec rm -r {{}} +"
    yield f"chmod -R u=rwX,go=rX /{SUTURE}"
    yield _compile(SUTURE)


def labels_of(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What an image says of itself that is known before it is built."""
    yield "org.opencontainers.image.title", recipe.title
    yield "org.opencontainers.image.version", version()
    yield "org.opencontainers.image.licenses", LICENCE


def _trim() -> Iterator[str]:
    for pattern in TRIMMED:
        if "**/" in pattern:
            folder, _, name = pattern.partition("/**/")
            yield f"find /{folder} -depth -name '{name}' -exec rm -r {{}} +"
        elif not pattern.startswith("etc/"):  # the runtime's own, where an image is built by one
            yield f"rm -rf /{pattern}"


def _compile(*folders: str) -> str:
    names = " ".join(f"/{folder}" for folder in folders)
    return f"PYTHONHASHSEED=0 python3 {shlex.join(COMPILE)} {names}"


def _joined(steps: Iterator[str]) -> str:
    return " \\\n && ".join(steps)
