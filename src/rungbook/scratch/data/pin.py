"""Pinned memory: pages that stay where they are, so that a GPU fetches a batch by itself while the processor goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.data.collate import rebuilt


def pin_memory(data: Any) -> Any:
    """A batch with every tensor in pinned memory; what has a `pin_memory` method of its own uses that."""
    if isinstance(data, Tensor) or hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, str | bytes):
        return data
    if isinstance(data, Mapping):
        return rebuilt(data, {key: pin_memory(x) for key, x in data.items()})
    if isinstance(data, Sequence):
        return rebuilt(data, [pin_memory(x) for x in data])
    return data


class PinThread:
    """Receives batches and pins them ahead of time.

    Args:
        receive: the next (worker, message); its errors are handed on.
        pin: a message with its batch pinned.
        device: number of the accelerator, which each thread has to choose for itself.
    """

    def __init__(self, receive: Callable[[], Any], pin: Callable[[Any], Any], device: int) -> None:
        self.ready: queue.Queue[tuple[bool, Any]] = queue.Queue()
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(receive, pin, device), daemon=True, name="pin_memory")
        self.thread.start()

    def _run(self, receive: Callable[[], Any], pin: Callable[[Any], Any], device: int) -> None:
        torch.accelerator.set_device_index(device)
        while not self.closed.is_set():
            try:
                self.ready.put((True, pin(receive())))
            except BaseException as error:
                self.ready.put((False, error))
                return

    def receive(self, timeout: float) -> Any:
        """The next pinned message.

        Raises:
            RuntimeError: it has not come for so many seconds (0: for ever), or a worker died.
        """
        try:
            fine, result = self.ready.get(timeout=timeout or None)
        except queue.Empty:
            raise RuntimeError(
                f"DataLoader timed out: no worker has sent a batch for {timeout:g} seconds. Give it a larger timeout"
            ) from None
        if not fine:
            raise result
        return result
