"""Two optimisers as one: matrices of hidden layers by the first, all other weights by the second.

Muon (Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks") is for matrices only, so it always comes in company:
biases, norms, embeddings and the output layer are moved by AdamW. A convolution's filters are a matrix with a row for each output channel.
Differs from the article: the first layer of a network that reads numbers or images is taken for a hidden one, an embedding is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.optimizing import bare_step

Make = Callable[..., torch.optim.Optimizer]


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of two dimensions or more, without those of embeddings and without the last one, which gives the outputs.

    Weights are told by their names (weight, in_proj_weight, weight_ih_l0): a class token or a table of positions is none.
    """
    found: dict[nn.Parameter, None] = {}
    for module in model.modules():
        if not hasattr(module, "num_embeddings"):  # torch's embedding or a twin of it
            found |= {p: None for name, p in module.named_parameters(recurse=False) if "weight" in name and p.ndim >= 2}
    return list(found)[:-1]


class SplitOptimizer(torch.optim.Optimizer):
    """One optimiser for the matrices of hidden layers, another for the rest; groups, state and schedules are those of one.

    Args:
        params: weights, or groups of them as dicts; each group becomes two, of which none is empty.
        lr: rate of both.
        hidden: called as `hidden(matrices, lr=lr)`: `partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")`.
        rest: called as `rest(weights, lr=lr)`: `torch.optim.AdamW`.
        model: whose `hidden_weights` go to the first; without it every weight of two dimensions or more does. The Learner passes its own.

    Raises:
        UsageError: E202, none of the weights is a hidden one of the model.
    """

    def __init__(self, params: Iterable[Any], lr: float, *, hidden: Make, rest: Make, model: nn.Module | None = None) -> None:
        listed = list(params)
        groups = listed if listed and isinstance(listed[0], dict) else [{"params": listed}]
        chosen = None if model is None else {id(p) for p in hidden_weights(model)}
        if chosen is not None and not any(id(p) in chosen for group in groups for p in group["params"]):
            message = f"Muon moves the matrices of hidden layers; {type(model).__name__} has none to train but that of the outputs."
            raise UsageError("E202", message, "optimizer=adamw")
        self.parts: list[torch.optim.Optimizer] = []
        self._stands_for: dict[Tensor, Tensor] = {}
        joined: list[dict[str, Any]] = []
        for make, wanted in ((hidden, True), (rest, False)):
            mine = []
            for group in groups:
                weights = [p for p in group["params"] if wanted == (p.ndim >= 2 if chosen is None else id(p) in chosen)]
                if weights:
                    mine.append({**group, "params": [self._as_matrix(p) for p in weights] if wanted else weights})
            if mine:
                part = make(mine, lr=lr)
                self.parts.append(part)
                joined += [{**g, "params": [self._stands_for.get(p, p) for p in g["params"]]} for g in part.param_groups]
        super().__init__(joined, {"lr": lr})

    def _as_matrix(self, p: Tensor) -> Tensor:
        """What stands for a weight in the first optimiser: itself, or a matrix that each step is filled anew."""
        if p.ndim == 2:
            return p
        matrix = nn.Parameter(torch.empty_like(p.detach().flatten(1)))  # (out, in * height * width)
        self._stands_for[matrix] = p
        return matrix

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all weights."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = iter(self.param_groups)
        for part in self.parts:
            # what a schedule or a loaded state changed here is handed on; what the part remembers is kept here
            for theirs in part.param_groups:
                theirs.update({k: v for k, v in next(groups).items() if k != "params"})
            weights = [(q, self._stands_for.get(q, q)) for g in part.param_groups for q in g["params"]]
            part.state.clear()
            for q, p in weights:
                if p in self.state:
                    part.state[q] = self.state[p]
                if q is not p:
                    q.data = p.detach().flatten(1)  # the weight's own memory, or a copy where its layout has no such view
                    q.grad = None if p.grad is None else p.grad.flatten(1)
            bare_step(part)()
            for q, p in weights:
                if q in part.state:
                    self.state[p] = part.state[q]
                if q is not p:
                    if q.data_ptr() != p.data_ptr():
                        p.detach().copy_(q.detach().view(p.shape))
                    q.grad = None
        return loss


__all__ = ["SplitOptimizer", "hidden_weights"]
