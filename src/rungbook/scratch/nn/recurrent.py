"""Recurrent layers: RNN, LSTM and GRU, of any number of layers, in one direction or both, for padded and packed batches.

Packed batches are torch's own `PackedSequence`, so a model that packs its input needs no change.

Shapes: T steps, N sequences, I input features, H hidden features, P features of the output (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

import math
import numbers
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.utils.rnn import PackedSequence

from rungbook.scratch.functional.closed_form import under_autocast
from rungbook.scratch.functional.recurrent import State, recurrent
from rungbook.scratch.nn import init

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
"""Mode -> gates of its cell."""


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value <= 0:
        raise ValueError(f"{name} ({value}) must be at least 1")


def draw_uniformly(parameters: Iterable[Tensor], hidden_size: int) -> None:
    """Fill parameters uniformly within 1 / sqrt(H)."""
    bound = 1 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for parameter in parameters:
        init.uniform_(parameter, -bound, bound)


class RNNBase(Module):
    """What the three layers share: their parameters, and the forms of input they take.

    Args:
        mode: RNN_TANH, RNN_RELU, LSTM or GRU.
        input_size: I.
        hidden_size: H.
        num_layers: L, each reading the output of the one below.
        bias: whether the gates have biases (two vectors each, as cuDNN has it).
        batch_first: input and output are (N, T, *) instead of (T, N, *); states are not touched by it.
        dropout: probability of dropping an output of all layers but the last, in training.
        bidirectional: D = 2; a second set of weights reads from the end, its outputs stand beside the first's.
        proj_size: P, if the output of each step is to be projected (LSTM only); 0 for none.

    Raises:
        TypeError: input_size, hidden_size, bias or batch_first is of another type.
        ValueError: a size or probability is out of range.
    """

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(dropout, numbers.Real) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be a probability, got {dropout!r}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(f"dropout={dropout} acts between layers, and there is only one", stacklevel=3)
        for name, value in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(value, bool):
                raise TypeError(f"{name} must be True or False, got {value!r}")
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            _whole(name, value)
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size ({proj_size}) must be 0 (none) or less than hidden_size ({hidden_size})")
        if mode not in GATES:
            raise ValueError(f"mode {mode!r} is none of {', '.join(GATES)}")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        self._flat_weights: list[Tensor | None] = []
        self._flat_weight_refs: list[Any] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                shapes = self._shapes(layer)
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values(), strict=True):
                    self.register_parameter(name, Parameter(torch.empty(shape, device=device, dtype=dtype)))
                self._flat_weights_names += names
                self._all_weights.append(names)
        self._init_flat_weights()
        self.reset_parameters()

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Parameters of a layer in one direction."""
        rows, output = GATES[self.mode] * self.hidden_size, self.proj_size or self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, output * (2 if self.bidirectional else 1) if layer else self.input_size),
            "weight_hh": (rows, output),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        return shapes | ({"weight_hr": (self.proj_size, self.hidden_size)} if self.proj_size else {})

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly within 1 / sqrt(H)."""
        draw_uniformly(self.parameters(), self.hidden_size)

    # Torch hands its kernels a list of the weights, `_flat_weights`, and keeps it in step with the parameters. Ours looks the parameters up
    # by name and needs no list; it is kept because code outside reads it, and because a layer may be turned back into torch's.

    def _init_flat_weights(self) -> None:
        self._flat_weights = [getattr(self, name, None) for name in self._flat_weights_names]
        self._flat_weight_refs = [None if w is None else weakref.ref(w) for w in self._flat_weights]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        names = self.__dict__.get("_flat_weights_names", ())
        if name in names and self._flat_weights:
            self._flat_weights[names.index(name)] = value

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> RNNBase:
        self._flat_weight_refs = []  # a tensor that is referred to weakly cannot be exchanged in place
        super()._apply(fn, recurse)
        self._init_flat_weights()
        return self

    def __getstate__(self) -> dict[str, Any]:
        self._init_flat_weights()
        return {name: value for name, value in self.__dict__.items() if name != "_flat_weight_refs"}  # weak references cannot be copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._init_flat_weights()

    def flatten_parameters(self) -> None:
        """Nothing: in torch it lays the weights out in one block for cuDNN."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    # The five that follow are torch's: layers made from these call them, or put others in their place.
    # batch_sizes are those of a packed batch, else None.

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape a state h must have: (L D, N, P)."""
        return self._state_shape(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise unless the input is one that the layer can read.

        Args:
            input: (T, N, I), (N, T, I) with batch_first, or (all steps of all sequences, I) if packed.
            batch_sizes: of a packed batch.

        Raises:
            ValueError: its type is not that of the weights.
            RuntimeError: its shape is another.
        """
        weight = getattr(self, self._flat_weights_names[0])
        if input.dtype != weight.dtype and not under_autocast(input):
            raise ValueError(f"input is {input.dtype}, the weights are {weight.dtype}; convert one of them with .to(dtype)")
        needed = 3 if batch_sizes is None else 2
        if input.dim() != needed:
            raise RuntimeError(
                f"input {tuple(input.shape)} must have {needed} dimensions{'' if batch_sizes is None else ', as it is packed'}"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input {tuple(input.shape)} has {input.shape[-1]} features, input_size is {self.input_size}")

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "hx must be {} (layers and directions, N, features), it is {}",
    ) -> None:
        """Raise a RuntimeError unless a state has the shape that is expected; both are put into msg."""
        if hx.shape != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, tuple(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise unless input and first state can be read, and fit together; an LSTM's state is (h, c)."""
        self.check_input(input, batch_sizes)
        states = (hidden,) if isinstance(hidden, Tensor) else hidden
        for i, (h, shape) in enumerate(zip(states, self._state_shapes(input, batch_sizes), strict=True)):
            self.check_hidden_size(
                h, shape, f"hx[{i}] is {{1}}; input {tuple(input.shape)} needs {{0}} (layers and directions, N, features)"
            )

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """A state with its sequences in another order, or as it is if that is None; an LSTM's is (h, c)."""
        if permutation is None:
            return hx
        return hx.index_select(1, permutation) if isinstance(hx, Tensor) else tuple(h.index_select(1, permutation) for h in hx)

    def _state_shape(self, input: Tensor, batch_sizes: Tensor | None, features: int) -> tuple[int, int, int]:
        batch = input.shape[0 if self.batch_first else 1] if batch_sizes is None else int(batch_sizes[0])
        return len(self._all_weights), batch, features

    def _state_shapes(self, input: Tensor, batch_sizes: Tensor | None) -> list[tuple[int, int, int]]:
        """Shapes of all tensors of the state."""
        return [self.get_expected_hidden_size(input, batch_sizes)]

    def _read(self, input: Tensor | PackedSequence, hx: State | None) -> tuple[Any, State]:
        """Outputs and last state, both in the form and order of the input."""
        if isinstance(input, PackedSequence):
            data, batch_sizes, order, back = input
            first = self._first(data, hx, batch_sizes)
            output, last = self._network(data, first if hx is None else self.permute_hidden(first, order), batch_sizes)
            return PackedSequence(output, batch_sizes, order, back), self.permute_hidden(last, back)
        if input.dim() not in (2, 3):
            raise ValueError(f"input {tuple(input.shape)} must have 3 dimensions, or 2 for a single sequence")
        for h in hx or ():
            if h.dim() != input.dim():
                raise RuntimeError(f"hx {tuple(h.shape)} must have {input.dim()} dimensions, as many as input {tuple(input.shape)}")
        if input.dim() == 3:
            return self._network(input, self._first(input, hx, None), None)
        batch = 0 if self.batch_first else 1
        output, last = self._read(input.unsqueeze(batch), None if hx is None else tuple(h.unsqueeze(1) for h in hx))
        return output.squeeze(batch), tuple(h.squeeze(1) for h in last)

    def _first(self, input: Tensor, hx: State | None, batch_sizes: Tensor | None) -> State:
        """The first state: the one given, if it fits, or zeros; the input is checked, too."""
        if hx is None:
            self.check_input(input, batch_sizes)
            return tuple(torch.zeros(shape, dtype=input.dtype, device=input.device) for shape in self._state_shapes(input, batch_sizes))
        self.check_forward_args(input, hx, batch_sizes)
        return hx

    def _network(self, input: Tensor, first: State, batch_sizes: Tensor | None) -> tuple[Tensor, State]:
        params = [getattr(self, name) for name in self._flat_weights_names]
        return recurrent(
            self.mode,
            input,
            first,
            params,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
            batch_sizes,
        )

    def extra_repr(self) -> str:
        said = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        shown = [f"{name}={getattr(self, name)}" for name, usual in said.items() if getattr(self, name) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


class RNN(RNNBase):
    """Elman's network: `h = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as of `RNNBase`.
        nonlinearity: tanh or relu.

    Shape:
        input (T, N, I), (T, I) or packed, hx (L D, N, H) or none for zeros -> output (T, N, D H), last hx (L D, N, H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity {nonlinearity!r} is neither tanh nor relu")
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h,) = self._read(input, None if hx is None else (hx,))
        return output, h


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al., 2014): `h = (1 - z) n + z h`; see `functional.recurrent`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as of `RNNBase`.

    Shape:
        input (T, N, I), (T, I) or packed, hx (L D, N, H) or none for zeros -> output (T, N, D H), last hx (L D, N, H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype)

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h,) = self._read(input, None if hx is None else (hx,))
        return output, h


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): `c = f c + i g`, `h = o tanh(c)`; see `functional.recurrent`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size: as of `RNNBase`.

    Shape:
        input (T, N, I), (T, I) or packed, hx (h (L D, N, P), c (L D, N, H)) or none for zeros -> output (T, N, D P), last (h, c).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape a state c must have: (L D, N, H)."""
        return self._state_shape(input, batch_sizes, self.hidden_size)

    def _state_shapes(self, input: Tensor, batch_sizes: Tensor | None) -> list[tuple[int, int, int]]:
        return [*super()._state_shapes(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)]

    def forward(self, input: Tensor | PackedSequence, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        output, (h, c) = self._read(input, None if hx is None else tuple(hx))
        return output, (h, c)
