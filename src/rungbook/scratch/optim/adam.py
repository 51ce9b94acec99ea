"""Adam and its kin: a running mean of the gradient over the root of a running mean of its square.

Adam and Adamax: Kingma and Ba (2015). AMSGrad: Reddi, Kale, Kumar (2018). AdamW: Loshchilov and Hutter (2019). NAdam: Dozat (2016).
RAdam: Liu et al. (2020). SparseAdam: Adam for the rows a sparse gradient names.

In the formulas p is a parameter, g its gradient (with `weight_decay * p` unless decay is decoupled), t the number of the step, counted from
1, `m = beta1 * m + (1 - beta1) * g` and `v = beta2 * v + (1 - beta2) * g**2`; both start at 0, hence the corrections `1 - beta**t`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.optim.optimizer import (
    Group,
    PerParameter,
    Scalar,
    State,
    add_,
    add_quotient_,
    advance,
    average_,
    counter,
    plain,
    scalar,
    shrink_,
    with_l2,
)

ONE = torch.ones(())


class _Moments(PerParameter):
    """Remembers the mean of the gradient and of its square."""

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p, group), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}

    def decayed(self, p: Tensor, grad: Tensor, group: Group) -> Tensor:
        """The gradient, with the decay in it; or without, after the decay was applied to p."""
        if not group["decoupled_weight_decay"]:
            return with_l2(grad, p, group["weight_decay"])
        if isinstance(group["weight_decay"], Tensor) or group["weight_decay"] != 0:
            shrink_(p, scalar(group["lr"]) * group["weight_decay"])
        return grad

    def moments(self, grad: Tensor, state: State, group: Group) -> tuple[Tensor, Tensor]:
        """m and v, brought up to date."""
        m, v = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = group["betas"]
        # a beta kept in float32 is one before it is subtracted, as it is wherever it is used
        average_(m, grad, 1 - (beta1.to(m.dtype) if isinstance(beta1, Tensor) else beta1))
        average_(v, grad * grad, 1 - beta2)
        return m, v


class Adam(_Moments):
    """`p -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)`.

    Args:
        params, lr, weight_decay, maximize, capturable, differentiable, foreach, fused: see `PerParameter`.
        betas: shares of m and v that are kept.
        eps: keeps the denominator above 0.
        amsgrad: divide by the largest v so far.
        decoupled_weight_decay: shrink p by `lr * weight_decay` instead of adding to g.

    Raises:
        ValueError: a hyperparameter outside its range; a number and a tensor as betas; tensors with foreach but without capturable.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-3,
        betas: tuple[Scalar, Scalar] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scalar = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        tensors = [isinstance(beta, Tensor) for beta in betas]
        if tensors[0] != tensors[1]:
            raise ValueError(f"betas is {betas}, needed are two numbers or two tensors")
        if foreach and not capturable and (isinstance(lr, Tensor) or tensors[0]):
            raise ValueError("foreach=True needs lr and betas as numbers, or capturable=True; found a tensor")
        if any(isinstance(beta, Tensor) and beta.numel() != 1 for beta in betas):
            raise ValueError(f"betas has a tensor of several values, needed is one value each: {betas}")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(scalar(beta) for beta in betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        state = super().start(p, group)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = torch.zeros_like(p)
        return state

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = advance(state, group)
        grad = self.decayed(p, grad, group)
        m, v = self.moments(grad, state, group)
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            v = largest.copy_(torch.maximum(largest.clone() if group["differentiable"] else largest, v))
        # sqrt(v / c) + eps = (sqrt(v) + eps * sqrt(c)) / sqrt(c): both corrections become numbers, which spares a pass over the tensor
        root = plain((1 - beta2**t) ** 0.5)
        eps = group["eps"] * root
        in_place = not isinstance(eps, Tensor) and not group["differentiable"]
        denominator = v.sqrt().add_(ONE, alpha=eps) if in_place else v.sqrt() + eps
        add_quotient_(p, m, denominator, -plain(scalar(group["lr"]) / (1 - beta1**t)) * root)


class AdamW(Adam):
    """Adam with decoupled weight decay: `p *= 1 - lr * weight_decay` before the step, and g without it.

    Args:
        params, lr, weight_decay, maximize, capturable, differentiable, foreach, fused: see `PerParameter`.
        betas, eps, amsgrad: see `Adam`.

    Raises:
        ValueError: as `Adam`.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-3,
        betas: tuple[Scalar, Scalar] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Scalar = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        hints = {"foreach": foreach, "maximize": maximize, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **hints, decoupled_weight_decay=True)  # type: ignore[arg-type]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # whatever optimiser the state was saved from


class Adamax(PerParameter):
    """Adam with the largest |g|, fading, in place of the root of v: `u = max(beta2 * u, |g| + eps); p -= lr / (1 - beta1**t) * m / u`.

    Args:
        params, lr, weight_decay, maximize, capturable, differentiable, foreach: see `PerParameter`.
        betas: shares of m and u that are kept.
        eps: keeps u above 0.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p, group), "exp_avg": torch.zeros_like(p), "exp_inf": torch.zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        m, largest = state["exp_avg"], state["exp_inf"]
        beta1, beta2 = group["betas"]
        t = advance(state, group)
        grad = with_l2(grad, p, group["weight_decay"])
        average_(m, grad, 1 - beta1)
        largest.copy_(torch.maximum(largest * beta2, grad.abs() + group["eps"]))
        add_quotient_(p, m, largest, -(scalar(group["lr"]) / (1 - beta1**t)))


class NAdam(_Moments):
    """Adam with Nesterov's look ahead: the next step's share of m is taken now.

    `p -= lr * ((1 - mu[t]) / (1 - M[t]) * g + mu[t+1] / (1 - M[t] * mu[t+1]) * m) / (sqrt(v / (1 - beta2**t)) + eps)` with
    `mu[t] = beta1 * (1 - 0.5 * 0.96**(t * momentum_decay))` and M[t] the product of all mu up to t.

    Args:
        params, lr, weight_decay, maximize, capturable, differentiable, foreach: see `PerParameter`.
        betas: shares of m and v that are kept.
        eps: keeps the denominator above 0.
        momentum_decay: how fast mu rises from half of beta1 to all of it.
        decoupled_weight_decay: shrink p by `lr * weight_decay` instead of adding to g.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        if not momentum_decay >= 0:
            raise ValueError(f"momentum_decay is {momentum_decay}, needed is 0 or more")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        count = counter(p, group)
        return {"step": count, "mu_product": torch.ones_like(count), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        lr, (beta1, beta2), product = scalar(group["lr"]), group["betas"], state["mu_product"]
        t = advance(state, group)
        grad = self.decayed(p, grad, group)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (s * group["momentum_decay"])) for s in (t, t + 1))
        product *= mu
        so_far = product if group["capturable"] else plain(product)
        m, v = self.moments(grad, state, group)
        denominator = (v / (1 - beta2**t)).sqrt() + group["eps"]
        add_quotient_(p, grad, denominator, -lr * (1 - mu) / (1 - so_far))
        add_quotient_(p, m, denominator, -lr * mu_next / (1 - so_far * mu_next))


class RAdam(_Moments):
    """Adam that divides by the root of v only once enough gradients were seen for v's own variance to be finite.

    `rho = r - 2 * t * beta2**t / (1 - beta2**t)`, the number of gradients v averages over, with its limit `r = 2 / (1 - beta2) - 1`. With
    `m_hat = m / (1 - beta1**t)`: `p -= lr * m_hat` while rho is at most 5, then
    `p -= lr * m_hat * rect * sqrt(1 - beta2**t) / (sqrt(v) + eps)`, `rect**2 = (rho - 4) * (rho - 2) * r / ((r - 4) * (r - 2) * rho)`.

    Args:
        params, lr, weight_decay, maximize, capturable, differentiable, foreach: see `PerParameter`.
        betas: shares of m and v that are kept.
        eps: keeps the denominator above 0.
        decoupled_weight_decay: shrink p by `lr * weight_decay` instead of adding to g.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = advance(state, group)
        grad = self.decayed(p, grad, group)
        m, v = self.moments(grad, state, group)
        correction = 1 - beta2**t
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / correction
        squared = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
        scaled = m / (1 - beta1**t) * scalar(group["lr"])
        if isinstance(rho, Tensor):
            # in a captured graph both branches are computed
            factor = (squared.clamp(min=0) * correction) ** 0.5 / (v.sqrt() + group["eps"])
            p.sub_(scaled * torch.where(rho > 5, factor, 1.0))
        elif rho > 5:
            p.sub_(scaled * ((squared * correction) ** 0.5 / (v.sqrt() + group["eps"])))
        else:
            p.sub_(scaled)


class SparseAdam(PerParameter):
    """Adam for those entries alone that a sparse gradient names: the others keep p, m and v, and do not fade.

    Args:
        params, lr, maximize: see `PerParameter`.
        betas: shares of m and v that are kept.
        eps: keeps the denominator above 0.

    Raises:
        ValueError: a hyperparameter outside its range; a parameter that is sparse or complex itself.
        RuntimeError: a dense gradient.
    """

    takes_sparse = True

    def __init__(
        self, params: Any, lr: Scalar = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, maximize: bool = False
    ) -> None:
        if not eps > 0 or (not isinstance(lr, Tensor) and not lr > 0):
            raise ValueError(f"lr and eps are {lr} and {eps}, needed are numbers above 0")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        for i, group in enumerate(self.param_groups):
            for j, p in enumerate(group["params"]):
                if p.is_sparse or p.is_complex():
                    raise ValueError(f"SparseAdam needs dense real parameters, number {j} of group {i} is {p.layout} of {p.dtype}")

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": 0, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        if not grad.is_sparse:
            raise RuntimeError(f"SparseAdam needs sparse gradients, a parameter {tuple(p.shape)} has a dense one; try Adam")
        state["step"] += 1
        grad = grad.coalesce()  # the square needs each entry once
        at, values = tuple(grad.indices()), grad.values()
        beta1, beta2 = group["betas"]
        m, v = (state[name][at] for name in ("exp_avg", "exp_avg_sq"))
        average_(m, values, 1 - beta1)
        average_(v, values**2, 1 - beta2)
        state["exp_avg"][at], state["exp_avg_sq"][at] = m, v
        root = (1 - beta2 ** state["step"]) ** 0.5
        rows = p[at]
        add_(rows, m / (v.sqrt() + group["eps"]), -scalar(group["lr"]) * root / (1 - beta1 ** state["step"]))
        p[at] = rows
