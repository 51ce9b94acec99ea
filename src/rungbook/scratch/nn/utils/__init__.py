"""Helpers for layers, as in `torch.nn.utils`: gradients clipped, parameters as a vector, weights computed from others, sequences packed."""

from rungbook.scratch.nn.utils import parametrizations, parametrize, rnn
from rungbook.scratch.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from rungbook.scratch.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "rnn",
    "vector_to_parameters",
]
