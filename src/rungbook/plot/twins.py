"""Two trainings that should be the same: both losses, and how far they come apart."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from rungbook.plot.style import THIRD, TRAIN, VALID, Picture, few_ticks, number, sheet


def side_by_side(torch_losses: Sequence[float], our_losses: Sequence[float], allowed: float, *, title: str) -> Picture:
    """The loss of each step with torch and by hand, and below what is allowed the size of their relative difference.

    Args:
        torch_losses, our_losses: the loss of each step.
        allowed: largest relative difference that counts as rounding.
        title: what was trained.
    """
    steps = range(1, len(torch_losses) + 1)
    apart = differences(torch_losses, our_losses)
    worst = max(apart)
    alt = (
        f"{title}: over {len(apart)} steps the loss goes from {number(torch_losses[0])} to {number(torch_losses[-1])}; "
        f"by hand it is the same but for at most {worst:.1e} of its size, {allowed:.0e} is allowed."
    )

    def losses(ax: Axes) -> None:
        ax.plot(steps, torch_losses, color=TRAIN, linewidth=3.2, alpha=0.5, label="torch")
        ax.plot(steps, our_losses, color=VALID, linestyle=(0, (3, 2)), linewidth=1.4, label="by hand")
        ax.set_title("loss of each step")
        ax.set_xlabel("step")
        ax.legend(frameon=False)
        few_ticks(ax)

    def difference(ax: Axes) -> None:
        floor = 1e-17  # where the two agree to the last bit, the logarithm needs something to show
        ax.plot(steps, [max(a, floor) for a in apart], color=THIRD, marker=".", markersize=3, linewidth=0.8)
        ax.axhline(allowed, color=VALID, linestyle=(0, (3, 2)), linewidth=1)
        ax.text(1, allowed * 1.6, "allowed", color=VALID, fontsize=8)
        ax.set_yscale("log")
        ax.set_ylim(floor / 3, max(allowed, worst) * 30)
        ax.set_title("difference, relative (lowest dots: 0)")
        ax.set_xlabel("step")
        few_ticks(ax)

    return sheet([losses, difference], alt, columns=2, size=(3.3, 2.4))


def differences(torch_losses: Sequence[float], our_losses: Sequence[float]) -> list[float]:
    """|ours - torch's| / max(1, |torch's|) of each step."""
    return [abs(a - b) / max(1.0, abs(b)) for a, b in zip(our_losses, torch_losses, strict=True)]
