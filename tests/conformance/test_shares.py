"""Few cases are left out, of all together and of each part."""

from __future__ import annotations

from agree import Counts, too_many


def test_listed_shares(counts: dict[str, Counts]) -> None:
    assert not too_many(counts)


def test_too_many_are_noticed() -> None:
    fine, bad = Counts(list("abcdefghij"), {"k": "why"}), Counts(list("abcdefg"), {"k": "why"})
    assert too_many({"fine": Counts([str(i) for i in range(100)], {"k": "why"})}) == []
    assert too_many({"fine": fine, "bad": bad}) == ["bad", "all"]
