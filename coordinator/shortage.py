"""When memory runs out: a sentence for the operator, who can give more of it."""

import resource

# how torch's allocators say it, in errors of a general kind
SAID = ("can't allocate memory", "out of memory")


def shortage(error: BaseException | None) -> str:
    """Say that memory ran out, and under which limit; empty for any other error."""
    ours = isinstance(error, MemoryError)
    if not ours and not (isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)):
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = "" if limit == resource.RLIM_INFINITY else f"its limit is {limit // 2**20} MB; "
    return f"memory ran out ({allowed}`memory_mb` in the study sets it; smaller batches need less): {error}"
