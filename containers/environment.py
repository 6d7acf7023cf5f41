"""The environment of a sandboxed process: what Python needs, and the pins that fix its arithmetic."""

from collections.abc import Mapping

PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR"),
    *(
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "LD_LIBRARY_PATH",
    ),
    *("ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG"),
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def environment(outside: Mapping[str, str], *, threads: int) -> dict[str, str]:
    """Pass on the few variables a process needs and pin its threads.

    Everything else stays outside: tokens and proxies of the caller's shell are no site's business,
    and a stray variable must not change a result.
    """
    inside = {name: outside[name] for name in PASSED if name in outside}
    inside |= {name: value for name, value in outside.items() if name.startswith("LC_")}
    inside |= dict.fromkeys(THREADS, str(threads))
    # a killed process keeps its last log lines, a crash in C leaves a Python stack in the log
    return inside | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
