"""Suture's own layer: the packages an image holds, over a base that no commit changes."""

import ast
import hashlib
import json
import shutil
from pathlib import Path

from containers.images.base import ROOT, base_root, key, precompile, run
from containers.images.manifest import digest, manifest, settle
from containers.images.recipe import LICENCE, RELEASE, SUTURE, Recipe

READ = {".py", ".json", ".csv"}


def whole_root(recipe: Recipe, folder: Path) -> Path:
    """Lay out an image's whole tree: its base by links, and our packages, compiled."""
    root = folder / "root" / recipe.name
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(exist_ok=True)
    run(["cp", "--archive", "--link", str(base_root(recipe, folder)), str(root)])
    copy_packages(recipe, root / SUTURE)
    (root / SUTURE / "image.json").write_text(json.dumps(labels(recipe), indent=1) + "\n", encoding="utf-8")
    precompile(root, SUTURE)
    settle(root / SUTURE)
    return root


def copy_packages(recipe: Recipe, target: Path) -> None:
    """Copy the packages without what the recipe leaves out."""
    for name, left_out in recipe.packages.items():
        for path in files_of(name, left_out):
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def files_of(name: str, left_out: tuple[str, ...]) -> list[Path]:
    """List a package's files, without some of its own packages."""
    skipped = {"__pycache__", *left_out}
    found = (path for path in (ROOT / name).rglob("*") if path.suffix in READ and path.is_file())
    return sorted(path for path in found if not skipped & set(path.relative_to(ROOT / name).parts))


def labels(recipe: Recipe) -> dict[str, str]:
    """Say what an image is: by OCI's names where it has them."""
    return {
        "org.opencontainers.image.title": recipe.title,
        "org.opencontainers.image.version": version(),
        "org.opencontainers.image.licenses": LICENCE,
        "org.opencontainers.image.base.name": f"debian:{RELEASE}",
        "suture.source": source_hash(recipe),
        "suture.base": key(),
    }


def source_hash(recipe: Recipe) -> str:
    """Hash the source an image holds (sha256 over sorted lines of path and content hash)."""
    files = [path for name, left_out in recipe.packages.items() for path in files_of(name, left_out)]
    lines = [
        f"{path.relative_to(ROOT).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
    ]
    return digest(sorted(lines))


def version() -> str:
    """Read Suture's version without importing it."""
    tree = ast.parse((ROOT / "coordinator" / "__init__.py").read_text(encoding="utf-8"))
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return str(ast.literal_eval(named["__version__"]))


def content(recipe: Recipe, folder: Path) -> list[str]:
    """List the whole tree of an image (a manifest); a base's part is read once."""
    kept = base_root(recipe, folder).with_suffix(".manifest")
    if not kept.exists():
        partial = kept.with_suffix(".partial")
        partial.write_text("\n".join(manifest(base_root(recipe, folder))), encoding="utf-8")
        partial.rename(kept)
    ours = (folder / "root" / recipe.name / SUTURE).relative_to(folder / "root" / recipe.name)
    layer = [f"{ours.as_posix()}/{line}" for line in manifest(folder / "root" / recipe.name / ours)]
    return sorted(kept.read_text(encoding="utf-8").split("\n") + layer)
