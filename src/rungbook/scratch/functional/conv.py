"""Convolution: the same small weighted sum at every place (LeCun et al., 1989); a correlation, in truth: no kernel is flipped.

`conv` gathers all windows as columns and multiplies once by the weight (im2col and one matrix product: Chellapilla et al., 2006). The
columns hold every element as often as there are windows over it, and that is what the speed costs. Of the forms measured (a product for
each sample, one for each element of the kernel, columns copied from the windows' view, this one) none was faster by more than a tenth at
any size of benchmarks/twins_conv.py, eager or compiled, and each was slower somewhere: so there is no rule to choose by.
`conv_reference` says the same by the definition, and is what `conv` is tested against. The transposed convolution is the other's gradient:
one product, then add up.

Shapes: N samples, C channels in, O out, G groups, L sizes of the D dimensions, K the kernel, P the places of the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from rungbook.scratch.functional.pad import pad
from rungbook.scratch.functional.spatial import batched, each, gather, overlap_add, strided
from rungbook.scratch.tensor.windows import windows

Ints = int | Sequence[int]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """`out[n, o, p] = bias[o] + sum over c, k of weight[o, c, k] * input[n, c, p * stride + k * dilation - padding]`.

    Args:
        input: (N, C, L), or (C, L) for one sample.
        weight: (O, C / G, K).
        bias: (O).
        stride: from one place to the next, in elements of the input.
        padding: zeros on both sides; "valid" is none, "same" as many as keep L (one more at the end where they are odd).
        dilation: from one element of the kernel to the next.
        groups: G, of channels that see only each other.

    Returns:
        (N, O, P) or (O, P), P = (L + 2 padding - dilation (K - 1) - 1) // stride + 1.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, a number out of range, "same" with a stride.
    """
    return conv(input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """`conv1d` over images: (N, C, H, W) and weight (O, C / G, K, K'); every number may be one or a pair."""
    return conv(input, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """`conv1d` over volumes or films: (N, C, D, H, W) and weight (O, C / G, K, K', K''); every number may be one or three."""
    return conv(input, weight, bias, stride, padding, dilation, groups, 3)


def conv(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Ints | str, dilation: Ints, groups: int, dims: int
) -> Tensor:
    """Convolution over `dims` dimensions; arguments as `conv1d`'s."""
    x, had_batch, stride, dilation = _prepared(input, weight, bias, stride, padding, dilation, groups, dims)
    N, kernel, inner = x.shape[0], weight.shape[2:], prod(weight.shape[1:])
    columns = gather(x.transpose(0, 1), kernel, stride, dilation)  # (C, K..., N, P...)
    places = columns.shape[dims + 2 :]
    columns = columns.reshape(groups, inner, N * prod(places))  # (G, C/G K, N P)
    out = weight.reshape(groups, weight.shape[0] // groups, inner) @ columns  # (G, O/G, N P)
    if bias is not None:
        out = out + bias.to(out.dtype).view(groups, -1, 1)
    # a layer behind may call view(N, -1) on it, as on torch's: contiguous
    out = out.view(weight.shape[0], N, *places).transpose(0, 1).contiguous()  # (N, O, P...)
    return out if had_batch else out.squeeze(0)


def conv_reference(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Ints | str, dilation: Ints, groups: int, dims: int
) -> Tensor:
    """`conv` by its definition: every window, each element times its weight, summed."""
    x, had_batch, stride, dilation = _prepared(input, weight, bias, stride, padding, dilation, groups, dims)
    seen = windows(x, weight.shape[2:], stride, dilation)  # (N, C, P..., K...)
    seen = seen.unflatten(1, (groups, 1, -1))  # (N, G, 1, C/G, P..., K...)
    weight = weight.unflatten(0, (groups, -1))  # (G, O/G, C/G, K...)
    weight = weight.reshape(weight.shape[:3] + (1,) * dims + weight.shape[3:])  # (G, O/G, C/G, 1..., K...)
    out = (seen * weight).sum([3, *range(-dims, 0)]).flatten(1, 2)  # (N, O, P...)
    out = out if bias is None else out + bias.view(-1, *(1,) * dims)
    return out if had_batch else out.squeeze(0)


def _prepared(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Ints | str, dilation: Ints, groups: int, dims: int
) -> tuple[Tensor, bool, tuple[int, ...], tuple[int, ...]]:
    """The input batched and padded, whether it had a batch, stride and dilation in every dimension; all checked."""
    name = f"conv{dims}d"
    _check_weight(weight, bias, groups, dims, name)
    stride, dilation = each(stride, dims, "stride", 1), each(dilation, dims, "dilation", 1)
    x, had_batch = batched(input, dims, name)
    kernel, C = weight.shape[2:], weight.shape[1] * groups
    if weight.shape[0] < groups or weight.shape[0] % groups:
        raise RuntimeError(f"{name}: groups ({groups}) must divide the {weight.shape[0]} output channels of weight {tuple(weight.shape)}")
    if x.shape[1] != C:
        raise RuntimeError(
            f"{name}: input {tuple(input.shape)} has {x.shape[1]} channels, weight {tuple(weight.shape)} with {groups} groups needs {C}"
        )
    if 0 in x.shape[2:]:
        raise RuntimeError(f"{name}: input {tuple(input.shape)} has a size of 0; only the batch may be empty")
    sides = _sides(padding, kernel, stride, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(n + a + b < span for n, (a, b), span in zip(x.shape[2:], sides, spans, strict=True)):
        raise RuntimeError(f"{name}: the kernel spans {spans}, more than the input {tuple(input.shape)} with padding {padding}")
    flat = [side for pair in reversed(sides) for side in pair]
    return (pad(x, flat) if any(flat) else x), had_batch, stride, dilation


def _sides(padding: Ints | str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    """Zeros before and after each dimension."""
    if not isinstance(padding, str):
        return [(p, p) for p in each(padding, len(kernel), "padding", 0)]
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding != "same":
        raise RuntimeError(f"padding {padding!r} must be 'valid', 'same' or numbers")
    if any(s != 1 for s in stride):
        raise RuntimeError(f"padding='same' needs stride 1 in every dimension, stride is {tuple(stride)}")
    missing = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(m // 2, m - m // 2) for m in missing]


def _check_weight(weight: Tensor, bias: Tensor | None, groups: int, dims: int, name: str) -> None:
    if weight.dim() != dims + 2:
        raise RuntimeError(f"{name}: weight {tuple(weight.shape)} must have {dims + 2} dimensions: channels, channels, kernel")
    if groups < 1:
        raise RuntimeError(f"{name}: groups ({groups}) must be at least 1")
    if bias is not None and bias.dtype != weight.dtype:
        raise RuntimeError(f"{name}: bias is {bias.dtype}, weight {weight.dtype}; they must be the same")


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """What `conv1d` with this weight does to gradients: each input element adds its multiple of the kernel to the output.

    Known as fractionally strided convolution, and as deconvolution (Zeiler et al., 2010), which it is not.

    Args:
        input: (N, C, L), or (C, L) for one sample.
        weight: (C, O / G, K).
        bias: (O).
        stride: from where one element's kernel starts to the next, in elements of the output.
        padding: elements cut off on both sides of the output.
        output_padding: elements more at the end, to say which of the sizes is meant that a strided convolution makes equal.
        groups: G.
        dilation: from one element of the kernel to the next.

    Returns:
        (N, O, P) or (O, P), P = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, a number out of range, output_padding not below stride or dilation.
    """
    return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 1)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """`conv_transpose1d` over images; every number may be one or a pair."""
    return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 2)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """`conv_transpose1d` over volumes; every number may be one or three."""
    return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 3)


def conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
    dims: int,
) -> Tensor:
    """Transposed convolution over `dims` dimensions; arguments as `conv_transpose1d`'s."""
    name = f"conv_transpose{dims}d"
    _check_weight(weight, bias, groups, dims, name)
    stride, dilation = each(stride, dims, "stride", 1), each(dilation, dims, "dilation", 1)
    padding, more = each(padding, dims, "padding", 0), each(output_padding, dims, "output_padding", 0)
    x, had_batch = batched(input, dims, name)
    N, C, kernel = x.shape[0], weight.shape[0], weight.shape[2:]
    if x.shape[1] != C or C % groups:
        raise RuntimeError(
            f"{name}: input {tuple(input.shape)} needs the {C} channels of weight {tuple(weight.shape)}; groups ({groups}) divide them"
        )
    if 0 in x.shape[2:]:
        raise RuntimeError(f"{name}: input {tuple(input.shape)} has a size of 0; only the batch may be empty")
    if any(m >= s and m >= d for m, s, d in zip(more, stride, dilation, strict=True)):
        raise RuntimeError(f"{name}: output_padding {more} must be below stride {stride} or dilation {dilation}")
    sizes = [(n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    kept = [n + m - 2 * p for n, m, p in zip(sizes, more, padding, strict=True)]
    if any(n < 1 for n in kept):
        raise RuntimeError(f"{name}: input {tuple(input.shape)}, kernel {tuple(kernel)} and padding {padding} leave an output of {kept}")
    columns = x.transpose(0, 1).reshape(groups, C // groups, -1)  # (G, C/G, N L)
    columns = weight.reshape(groups, C // groups, -1).mT @ columns  # (G, O/G K, N L)
    full = [n + m for n, m in zip(sizes, more, strict=True)]
    out = overlap_add(columns.reshape(weight.shape[1] * groups, *kernel, N, *x.shape[2:]), full, stride, dilation)  # (O, N, full...)
    for i, (p, n) in enumerate(zip(padding, kept, strict=True)):
        out = strided(out, i - dims, p, n, 1)  # (O, N, P...)
    out = out.transpose(0, 1)  # (N, O, P...)
    out = (out if bias is None else out + bias.to(out.dtype).view(-1, *(1,) * dims)).contiguous()
    return out if had_batch else out.squeeze(0)
