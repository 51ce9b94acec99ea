"""The order in which a graph is gone through backwards: every node after all nodes that use it.

Whoever passes a node's gradient on before all its users have added theirs passes on too little. Counting how many users a node still waits
for (Kahn, Topological sorting of large networks, 1962) needs no recursion, so a graph may be as deep as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def backwards(root: Node, inputs: Callable[[Node], Iterable[Node]]) -> Iterator[Node]:
    """Every node that the root was computed from, the root first, each node after all its users.

    Args:
        root: the result.
        inputs: gives what a node was computed from; a node that uses another twice names it twice. Asked twice about each node, the
            second time after the node has been yielded.
    """
    waits_for: dict[Node, int] = {root: 0}
    found = [root]
    while found:
        for node in inputs(found.pop()):
            if node in waits_for:
                waits_for[node] += 1
            else:
                waits_for[node] = 1
                found.append(node)
    ready = [root]
    while ready:
        node = ready.pop()
        used = inputs(node)  # asked before it is yielded: whoever gets the node may take it apart
        yield node
        for source in used:
            waits_for[source] -= 1
            if not waits_for[source]:
                ready.append(source)
