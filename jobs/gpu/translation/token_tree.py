"""A prefix tree of token ids, laid out in one row of a model's input.

Every token attends to itself and its ancestors and has the position it has in its own sequence, so that one forward
pass computes every distinct prefix once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ROOT = -1
"""Parent of the first token of a sequence."""


class TokenTree:
    """A tree that sequences are added to; a node is its token's position in the row, parents before children."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, tokens: Sequence[int], after: int = ROOT) -> list[int]:
        """Adds a sequence below the node ``after``; returns the node of each of its tokens."""
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

    def attention_mask(self, device: torch.device | None = None) -> Tensor:
        """Attention mask, bool (nodes, nodes): True for a node itself and its ancestors."""
        parents = torch.tensor(self.parents, dtype=torch.int64, device=device)
        nodes = ancestor = torch.arange(len(self), device=device)
        mask = torch.eye(len(self), dtype=torch.bool, device=device)
        for _ in range(max(self.depths, default=0)):
            parent = parents[ancestor]
            ancestor = torch.where(parent == ROOT, ancestor, parent)
            mask[nodes, ancestor] = True
        return mask
