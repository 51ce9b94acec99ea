"""A contrast: one recipe trained several ways that differ in a few settings, on the same samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

from rungbook.data.data import Data
from rungbook.errors import UsageError
from rungbook.plot.curves import curve
from rungbook.plot.style import Picture
from rungbook.recipes.baseline import Scores, beside
from rungbook.recipes.drawing import Sketch
from rungbook.recipes.effect import for_all, refuse
from rungbook.recipes.once import Trained, train_once
from rungbook.recipes.prepare import prepare_data
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.settings import Count
from rungbook.recipes.study import Found, Results, Say, Study, about


@dataclass(frozen=True, kw_only=True)
class Contrast(Recipe, Study):
    """Variants of a training; each is this recipe with some settings changed.

    What a subclass sets: `variants`, `metric`, and `load` or `begin` where its own fields change data or model; `data_fields` names those
    of its own fields that change the data.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {}
    """Name -> the settings that make it; the first is what the others are compared with."""
    data_fields: ClassVar[tuple[str, ...]] = ()
    with_baselines: ClassVar[bool] = True

    seeds: Count = 3

    def check(self) -> None:
        """Refuse settings the variants differ in, and what no recipe takes.

        Raises:
            UsageError: E202 besides what `Recipe.check` raises.
        """
        super().check()
        varied = {k for settings in self.variants.values() for k in settings}
        if clash := sorted(varied & self.chosen()):
            message = f"{clash[0]} is what {self.name} compares: {'; '.join(self.variants)}."
            raise UsageError("E202", message, f"Leave out {clash[0]}=...")
        if self.watch:
            message = f"watch shows the layers of one training; {self.name} makes {len(self.variants)} for each seed."
            raise UsageError("E202", message, "Leave out watch=...")

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Train every variant on the same samples."""
        results: Results = {}
        trained: dict[str, Trained] = {}
        others: Iterator[Scores] = iter([{}])
        read: dict[str, Data] = {}
        for name, settings in self.variants.items():
            variant = self.vary(settings)
            key = variant._data_key()
            if key not in read:
                read[key] = variant.load()
            if not trained:
                refuse(for_all((self.vary(changes) for changes in self.variants.values()), read[key], self.chosen()))
            data = prepare_data(variant, read[key])
            if not trained and self.with_baselines:
                others = beside([data], seed=self.seed)
            trained[name] = train_once(variant, data)
            results[name] = self.judge(name, trained[name])
            say(f"seed {self.seed}: {name}")
        first = next(iter(trained.values())).data
        assert first.test is not None
        return Found(
            results,
            first.test.samples,
            about(first),
            next(others),
            first.facts.get("limit"),
            self.remarks(trained, results),
            self.paint(trained) if pictures else [],
            max(t.threads for t in trained.values()),
        )

    def vary(self, settings: dict[str, Any]) -> Self:
        """This recipe with a variant's settings."""
        return replace(self, **settings)

    def judge(self, name: str, trained: Trained) -> dict[str, dict[str, float]]:
        """Split -> metric -> value of a variant."""
        return trained.scores()

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """What there is to say of this seed besides the table."""
        return []

    def paint(self, trained: dict[str, Trained]) -> Sequence[Picture | Sketch]:
        """Pictures of the trainings: by default the loss curves of each."""
        return [partial(curve, t.learner.history, "loss", title=name) for name, t in trained.items()]

    def _data_key(self) -> str:
        """Equal for variants that learn from the same samples."""
        return repr([getattr(self, k) for k in ("data", "valid", "test", "image_size", *self.data_fields)])
