"""What one module's forward does, call by call (torch.fx), and where only one tensor is on its way."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import fx, nn
from torch.fx.node import Node
from torch.fx.proxy import TraceError

# whatever a forward that branches on values raises when it is followed without them
NOT_FOLLOWED = (
    TraceError, TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, LookupError,
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """Calls between two places where one tensor is on its way.

    `child` is the submodule called last, if it is called nowhere else; `alone` says it is the only call, so
    that it can stand for the piece and be cut in turn.
    """

    graph: fx.Graph
    child: str | None
    alone: bool


@dataclass(frozen=True)
class Traced:
    """A forward's pieces in order, and why no other submodule's output is a place to cut."""

    pieces: tuple[Piece, ...]
    refused: dict[str, str]


class _ChildrenOnly(fx.Tracer):
    """Follows a module's own forward and none of its children's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def traced(module: nn.Module) -> Traced | str:
    """Follow a module's forward, or say why that cannot be done."""
    if type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential):
        return "it is one layer of torch"
    mode = module.training
    try:
        graphs = [_ChildrenOnly().trace(module.train(training)) for training in (True, False)]
    except NOT_FOLLOWED as error:
        return f"its forward cannot be followed without values ({str(error).splitlines()[0][:120]})"
    finally:
        module.train(mode)
    if str(graphs[0]) != str(graphs[1]):
        return "its forward does something else in training; let modules such as nn.Dropout decide that"
    if len([node for node in graphs[0].nodes if node.op == "placeholder"]) != 1:
        return "its forward takes more than one input"
    return _cut_up(graphs[0])


def _cut_up(graph: fx.Graph) -> Traced:
    source = next(node for node in graph.nodes if node.op == "placeholder")
    calls = [node for node in graph.nodes if node.op.startswith("call_")]
    targets = [node.target for node in calls if node.op == "call_module"]
    pieces, refused, waiting = [], {}, []
    for node in calls:
        waiting.append(node)
        if reason := _in_the_way(node, source, calls):
            if node.op == "call_module":
                refused[str(node.target)] = reason
            continue
        once = node.op == "call_module" and targets.count(node.target) == 1
        pieces.append(_piece(waiting, source, once=once))
        source, waiting = node, []
    refused |= {
        str(target): f"it is called {targets.count(target)} times, so its name does not say where"
        for target in targets
        if targets.count(target) > 1
    }
    return Traced(tuple(pieces), refused)


def _in_the_way(node: Node, source: Node, calls: list[Node]) -> str | None:
    """Say why there is no cut after a call, or nothing."""
    done = {source, *calls[: calls.index(node) + 1]}
    crossing = [each for each in done if any(user not in done for user in each.users)]
    others = sorted(_called(each, source) for each in crossing if each is not node)
    if others:
        return f"a skip connection crosses there: {', '.join(others)} is needed beyond it"
    if any(_in_place(user, node) for user in node.users):
        return "what it gives is changed in place right after it"
    return None


def _called(node: Node, source: Node) -> str:
    if node is source and node.op == "placeholder":
        return "the input"
    return f"'{node.target}'" if node.op == "call_module" else f"'{node.name}'"


def _in_place(user: Node, value: Node) -> bool:
    if not user.args or user.args[0] is not value:
        return False
    if user.op == "call_method":
        return str(user.target).endswith("_") and not str(user.target).endswith("__")
    name = getattr(user.target, "__name__", "")
    module = getattr(user.target, "__module__", "")
    augmented = module == "_operator" and name.startswith("i") and name not in ("index", "inv", "invert")
    return bool(augmented or name == "setitem" or user.kwargs.get("inplace"))


def _piece(nodes: list[Node], source: Node, *, once: bool) -> Piece:
    last = nodes[-1]
    alone = len(nodes) == 1 and last.op == "call_module" and last.args == (source,) and not last.kwargs
    return Piece(_graph_of(nodes, source), str(last.target) if once else None, alone and once)


def _graph_of(nodes: Iterable[Node], source: Node) -> fx.Graph:
    """Copy some calls into a graph of their own, the parameters they use directly included."""
    graph = fx.Graph()
    copies: dict[Node, Node] = {source: graph.placeholder("value")}

    def copied(node: Node) -> Node:
        if node not in copies:  # a parameter: what is computed is there already
            copies[node] = graph.node_copy(node, copied)
        return copies[node]

    for node in nodes:
        last = copied(node)
    graph.output(last)
    return graph
