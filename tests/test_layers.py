"""The one import rule, read from the sources and seen in a running interpreter."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOCKETS = {"coordinator/protocol/sockets.py", "coordinator/protocol/dealer.py"}
WAITING = "coordinator/protocol/waiting.py"
# layer -> what it never imports
FORBIDDEN = {
    "coordinator": {"sites", "containers", "pandas", "pydicom"},
    "sites": {"containers"},
    "containers": {"sites", "coordinator"},
    "workflow": {"sites", "coordinator", "containers"},
}


def files_of(layer: str) -> list[Path]:
    return sorted(path for kind in ("*.py", "*.smk") for path in (ROOT / layer).rglob(kind))


ALL_FILES = [path for layer in FORBIDDEN for path in files_of(layer)]
PYTHON_FILES = [path for path in ALL_FILES if path.suffix == ".py"]


def imported(path: Path) -> Iterator[str]:
    """Name every module a file imports, anywhere in it, and by `import_module("...")` too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Call) and name_of(node.func) in {"import_module", "__import__"}:
            yield from (text.value for text in ast.walk(node) if is_text(text))


def name_of(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    files = [path for path in files_of(layer) if path.suffix == ".py"]
    assert files
    wrong = {
        f"{shown(path)} imports {module}"
        for path in files
        for module in imported(path)
        if module.split(".")[0] in FORBIDDEN[layer]
    }
    assert not wrong


@pytest.mark.parametrize("path", files_of("workflow"), ids=shown)
def test_workflow_files_name_no_package_of_ours_in_an_import(path: Path) -> None:
    # rules are not Python, so they are read line by line
    lines = path.read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line.strip().startswith(("import ", "from "))]
    assert not [line for line in words if line[1].split(".")[0] in FORBIDDEN["workflow"]]


def test_only_the_sockets_and_what_waits_for_them_import_zmq() -> None:
    users = {shown(path) for path in PYTHON_FILES if any(m.split(".")[0] == "zmq" for m in imported(path))}
    assert users == {*SOCKETS, WAITING}


def test_nothing_can_be_unpickled() -> None:
    wrong = [
        f"{shown(path)} imports {module}"
        for path in PYTHON_FILES
        for module in imported(path)
        if module.split(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("function", "keyword", "safe"),
    [("torch.load", "weights_only", True), ("np.load", "allow_pickle", False)],
)
def test_loading_executes_nothing(function: str, keyword: str, safe: bool) -> None:
    wrong = []
    for path in PYTHON_FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
                given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                # numpy's default is the safe one; torch's is too, but only since 2.6
                if given.get(keyword, safe if function == "np.load" else None) is not safe:
                    wrong.append(f"{shown(path)}:{node.lineno}")
    assert not wrong


def server_modules() -> list[str]:
    files = [path for path in files_of("coordinator/server") if path.suffix == ".py"]
    return sorted(
        {"coordinator.server", *(f"coordinator.server.{p.stem}" for p in files if p.stem != "__init__")}
    )


def loaded_by(*names: str) -> set[str]:
    code = f"import sys\nfor name in {names!r}: __import__(name)\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_server_loads_nothing_that_reads_patients() -> None:
    names = server_modules()
    assert "coordinator.server.serve" in names
    assert not loaded_by(*names) & {"pandas", "pydicom", "sites", "containers"}


def test_a_plan_needs_no_torch() -> None:
    assert "torch" not in loaded_by("coordinator.check")


# behind walls every party imports for itself: scikit-learn takes as long as torch
@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("sites.training", {"sklearn", "scipy", "opacus"}),
        ("sites.agreeing", {"torch", "sklearn", "scipy"}),
        ("sites.gatekeeping", {"torch", "pandas", "sklearn", "scipy"}),
        ("sites.prepare", {"torch", "sklearn"}),
        ("coordinator.server.training", {"sklearn", "scipy", "opacus"}),
        ("coordinator.server.agreeing", {"torch", "sklearn", "scipy"}),
    ],
)
def test_a_party_loads_no_large_library_that_it_does_not_work_with(module: str, without: set[str]) -> None:
    assert not loaded_by(module) & without
