"""Callbacks that come with rungbook: recorder, progress, checkpoints, early stopping, best weights, average, mixing, growing images."""

from rungbook.learner.callbacks.best import EarlyStopping, KeepBest
from rungbook.learner.callbacks.ema import EMA
from rungbook.learner.callbacks.interrupt import StopOnSignal
from rungbook.learner.callbacks.mix import Mix
from rungbook.learner.callbacks.progress import Progress
from rungbook.learner.callbacks.record import Recorder
from rungbook.learner.callbacks.resizing import Resizing
from rungbook.learner.callbacks.saving import Checkpoints

__all__ = ["EMA", "Checkpoints", "EarlyStopping", "KeepBest", "Mix", "Progress", "Recorder", "Resizing", "StopOnSignal"]
