"""A checkpoint of the Hugging Face hub as a folder, through the hub's own client: from its cache, or downloaded."""

from __future__ import annotations

from pathlib import Path

from rungbook.errors import EnvironmentProblem
from rungbook.extras import require

DESCRIBED = ["config.json", "preprocessor_config.json"]
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files of weights, the first that is there; the second is read as data only, as every torch file is."""


def fetch_folder(name: str) -> Path:
    """The folder of a checkpoint.

    Args:
        name: "owner/name".

    Raises:
        EnvironmentProblem: E404 the client is not installed, E403 the hub does not give it.
    """
    require("hf", f"pretrained=hf:{name}")
    import huggingface_hub

    try:
        for weights in WEIGHTS:
            folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=[*DESCRIBED, weights]))
            if (folder / weights).is_file():
                break
    except Exception as error:  # the client raises errors of several libraries, and of its own
        raise EnvironmentProblem(
            "E403",
            f"{name} could not be had from the Hugging Face hub ({type(error).__name__}).",
            "Check the name and the network, or download the folder by hand: pretrained=./FOLDER",
        ) from error
    return folder
