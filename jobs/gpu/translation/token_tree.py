"""A prefix tree of token ids: what several sequences begin with stands in it once.

Its tokens lie in one row of a model's input. Each sees itself and what leads to it, and has the position it would have
in a sequence alone, so that one forward pass computes every distinct beginning once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ROOT = -1
"""What stands before the first token of a sequence."""


class TokenTree:
    """Grows by whole sequences; a node is the place of its token in the row, from 0, parents before children.

    Attributes:
        tokens: token id of each node.
        parents: node before each node, or ``ROOT``.
        depths: tokens before each node in its sequence.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, tokens: Sequence[int], after: int = ROOT) -> list[int]:
        """The nodes of a sequence that goes on after a node, each made where it was not there yet."""
        nodes = []
        for token in tokens:
            after = self._child(after, token)
            nodes.append(after)
        return nodes

    def _child(self, parent: int, token: int) -> int:
        node = self._children.setdefault((parent, token), len(self))
        if node == len(self):
            self.tokens.append(token)
            self.parents.append(parent)
            self.depths.append(0 if parent == ROOT else self.depths[parent] + 1)
        return node

    def sees(self, device: torch.device | None = None) -> Tensor:
        """Which nodes each one sees, bool (nodes, nodes): itself and what leads to it."""
        parents = torch.tensor(self.parents, dtype=torch.int64, device=device)
        nodes = seen_last = torch.arange(len(self), device=device)
        seen = torch.eye(len(self), dtype=torch.bool, device=device)
        for _ in range(max(self.depths, default=0)):
            before = parents[seen_last]
            seen_last = torch.where(before == ROOT, seen_last, before)
            seen[nodes, seen_last] = True
        return seen
