"""Texts as numbers: the vocabulary is the training texts', and the way back and forth loses nothing it should not."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from rungbook.data.feed import RaggedSource
from rungbook.data.tabular import table_data
from rungbook.data.text import PAD, UNKNOWN, TextEncoder, split_words, words_and_pairs
from rungbook.errors import DataError

TEXTS = ["Not good at all", "not good!", "good", "It's good, not bad"]


def reviews(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    words = np.array(
        ["the", "a", "film", "plot", "actor", "story", "scene", "very", "quite", "rather", "long", "short", "new", "old", "dark", "light"]
    )
    label = rng.integers(0, 2, n)
    mood = np.where(label == 1, "wonderful", "dreadful")
    return pd.DataFrame({"review": [" ".join([*rng.choice(words, 8), m]) for m in mood], "label": label, "stars": rng.normal(size=n)})


def test_words_and_pairs() -> None:
    assert split_words("It's GOOD, naïve!") == ["it's", "good", ",", "naïve", "!"]
    assert list(words_and_pairs("not so good")) == ["not", "so", "good", "not so", "so good"]
    assert list(words_and_pairs("")) == []


def test_vocabulary_counts_texts() -> None:
    encoder = TextEncoder.fit(TEXTS)
    assert encoder.vocabulary == ("good", "not", "not good")
    assert TextEncoder.fit(["so so so so"]).vocabulary == ()  # four times, but in one text
    assert TextEncoder.fit(TEXTS, max_size=1).vocabulary == ("good",)


def test_unknown_words_are_one_number_and_unknown_pairs_none() -> None:
    encoder = TextEncoder.fit(TEXTS)
    assert encoder.ids("not good enough") == [3, 2, UNKNOWN, 4]
    assert encoder.ids(None) == []


def test_encode_pads_and_source_agrees() -> None:
    encoder = TextEncoder.fit(TEXTS)
    texts = [*TEXTS, "", None]
    x = encoder.encode(texts)
    assert isinstance(x, torch.Tensor)
    assert x.dtype == torch.int64
    assert (x[-1] == PAD).all()
    source = encoder.source(texts, torch.zeros(6))
    assert isinstance(source, RaggedSource)
    assert torch.equal(x, source.fetch(torch.arange(6))[0])
    assert encoder.encode([]).shape[0] == 0  # type: ignore[union-attr]


def test_describe_and_restore() -> None:
    encoder = TextEncoder.fit(TEXTS, column="review")
    again = TextEncoder.restore(json.loads(json.dumps(encoder.describe())))
    assert again == encoder
    assert again.ids("not good") == encoder.ids("not good")


def test_a_table_without_the_column_is_refused() -> None:
    with pytest.raises(DataError, match='lacks the column "review"') as caught:
        TextEncoder.fit(TEXTS, column="review").encode(pd.DataFrame({"reviews": TEXTS}))
    assert caught.value.code == "E101"
    assert "reviews" in caught.value.fix


def test_a_text_column_is_found_and_the_vocabulary_is_of_the_training_rows() -> None:
    table = reviews()
    table.loc[110:, "review"] = "xylophone zebra quagga yacht over the moon tonight"
    parts = {"train": np.arange(90), "valid": np.arange(90, 105), "test": np.arange(105, 120)}
    data = table_data(table, target="label", name="t", parts=parts)
    encoder = data.encoder
    assert isinstance(encoder, TextEncoder)
    assert encoder.column == "review"
    assert "wonderful" in encoder.vocabulary
    assert "xylophone" not in encoder.vocabulary
    assert "xylophone" in TextEncoder.fit(table["review"]).vocabulary  # control: all rows would have let it in
    assert any("not used beside it: stars" in f.message for f in data.findings)


def test_short_names_do_not_displace_the_other_columns() -> None:
    table = reviews()
    table["review"] = [" ".join([*r.split()[:2], f"n{i}", f"m{i}"]) for i, r in enumerate(table["review"])]
    data = table_data(table, target="label", name="t")
    assert data.facts["used"] == ["stars"]
    assert any("text left out: review" in f.message and "--text review" in f.fix for f in data.findings)
    assert isinstance(table_data(table, target="label", name="t", text="review").encoder, TextEncoder)
