"""Normalisation of channels as layers, with running statistics as buffers: over a batch, or for each sample (instance norm)."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F
from rungbook.scratch.nn.norm import register_affine, reset_affine


class _ChannelNorm(Module):
    """Parameters and buffers of a norm over channels.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: share of a batch in the running statistics; None: that of the mean of all batches so far.
        affine: whether there are weight and bias, (C).
        track_running_stats: whether mean and variance are averaged for evaluation; else it uses those of its input, as training does.
        bias: whether there is a bias.
    """

    _version = 2  # as torch's: since 2, num_batches_tracked is there
    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    dimensions: tuple[int, ...]
    """How many dimensions an input may have."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        register_affine(self, (num_features,), affine, affine and bias, device, dtype)
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", torch.ones(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1."""
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            buffer = self._buffers[name]
            if self.track_running_stats and buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, no batches seen."""
        self.reset_running_stats()
        reset_affine(self)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self.dimensions:
            needed = " or ".join(str(n) for n in self.dimensions)
            raise ValueError(f"{type(self).__name__}: input {tuple(input.shape)} has {input.dim()} dimensions, {needed} are needed")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any, **named: Any
    ) -> None:
        version, key = local_metadata.get("version"), f"{prefix}num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            mine = self.num_batches_tracked
            state_dict[key] = torch.tensor(0) if mine is None or mine.is_meta else mine
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest, **named)


class _BatchNorm(_ChannelNorm):
    """Statistics of the batch in training, the running ones (where there are any) in evaluation."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        share = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                share = 1.0 / float(self.num_batches_tracked)
        kept = self.track_running_stats or not self.training
        return F.batch_norm(
            input,
            self.running_mean if kept else None,
            self.running_var if kept else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            share,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel over a batch: of (N, C) or (N, C, L).

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: share of a batch in the running statistics; None: that of the mean of all batches so far.
        affine: whether there are weight and bias, (C).
        track_running_stats: whether mean and variance are averaged for evaluation.
        bias: whether there is a bias.
    """

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` of (N, C, H, W)."""

    dimensions = (4,)


class BatchNorm3d(_BatchNorm):
    """`BatchNorm1d` of (N, C, D, H, W)."""

    dimensions = (5,)


class _InstanceNorm(_ChannelNorm):
    """Statistics of each sample; the running ones only in evaluation and where they are tracked."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        alone = input.dim() == self.dimensions[0]  # a sample without batch dimension
        channels = input.shape[0 if alone else 1]
        if channels != self.num_features:
            found = f"{type(self).__name__}: input {tuple(input.shape)} has {channels} channels, num_features is {self.num_features}"
            if self.affine:
                raise ValueError(found)
            warnings.warn(f"{found}; without affine it is not used, and may be left out", stacklevel=2)
        y = F.instance_norm(
            input.unsqueeze(0) if alone else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.squeeze(0) if alone else y

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        # before torch 0.4 these buffers were always there; they must not be dropped unnoticed
        found = [prefix + name for name in ("running_mean", "running_var") if prefix + name in state_dict]
        if local_metadata.get("version") is None and not self.track_running_stats and found:
            error_msgs.append(
                f"{type(self).__name__}: the checkpoint holds {' and '.join(found)}, which track_running_stats=False does not use. "
                "Delete them, or make the layer with track_running_stats=True."
            )
            for key in found:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)


class InstanceNorm1d(_InstanceNorm):
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel of each sample: of (N, C, L) or (C, L).

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: share of a batch in the running statistics.
        affine: whether there are weight and bias, (C).
        track_running_stats: whether mean and variance are averaged, and used in evaluation.
        bias: whether there is a bias.
    """

    dimensions = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` of (N, C, H, W) or (C, H, W)."""

    dimensions = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` of (N, C, D, H, W) or (C, D, H, W)."""

    dimensions = (4, 5)
