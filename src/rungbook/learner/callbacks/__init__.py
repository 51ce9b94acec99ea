"""Callbacks that come with rungbook: recorder, progress, checkpoints, early stopping, best weights, average, mixing, growing images."""

from rungbook.learner.callbacks.activations import ActivationStats
from rungbook.learner.callbacks.best import EarlyStopping, KeepBest
from rungbook.learner.callbacks.clipping import ClipAdaptive, ClipValue
from rungbook.learner.callbacks.ema import EMA
from rungbook.learner.callbacks.interrupt import StopOnSignal
from rungbook.learner.callbacks.lookahead import Lookahead
from rungbook.learner.callbacks.mix import Mix
from rungbook.learner.callbacks.progress import Progress
from rungbook.learner.callbacks.record import Recorder
from rungbook.learner.callbacks.resizing import Resizing
from rungbook.learner.callbacks.sam import SAM
from rungbook.learner.callbacks.saving import Checkpoints
from rungbook.learner.callbacks.swa import SWA

__all__ = [
    "EMA",
    "SAM",
    "SWA",
    "ActivationStats",
    "Checkpoints",
    "ClipAdaptive",
    "ClipValue",
    "EarlyStopping",
    "KeepBest",
    "Lookahead",
    "Mix",
    "Progress",
    "Recorder",
    "Resizing",
    "StopOnSignal",
]
