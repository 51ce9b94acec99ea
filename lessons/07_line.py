# %% [markdown]
# # A line through the cars
#
# A heavy car goes fewer miles on a gallon than a light one. Which straight line says best how many, how does a
# machine find it, and why does the plainest way of searching stop far from the goal without any sign of an error?

# %% tags=["about"]
covers = ["L01", "L02", "L03", "L04", "L05", "S0-4"]
rung = 4
minutes = 50

# %%
import numpy as np
import torch
from torch import nn

from rungbook.book import Slider, refuses, show, source, table
from rungbook.plot.fit import loss_surface, regression_line
from rungbook.plot.style import INK, THIRD, TRAIN, VALID, Picture, draw, number
from rungbook.recipes.quotes import course_figure, quote

# %% [markdown]
# ## Twenty points and two numbers
#
# [Linear regression](#linear-regression) looks for two numbers, a slope $m$ and an intercept $b$, so that $b + m x$
# comes close to $y$. "Close" is a [loss](#loss): here the [mean squared error](#mean-squared-error), the mean of
# $(b + m x - y)^2$ over the points. [Gradient descent](#gradient-descent) starts anywhere and goes downhill: each
# step takes the [gradient](#gradient) of the loss, times a small [learning rate](#learning-rate), off the
# parameters.
#
# The smallest example there is: 20 points on the line $y = 2 + 3x$, one layer of one weight and one bias, 5,000
# steps.


# %%
def descend(x: torch.Tensor, y: torch.Tensor, steps: int) -> tuple[nn.Linear, float]:
    """A line trained by SGD on all points at once, and its last loss."""
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = (model(x) - y).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, loss.item()


torch.manual_seed(1)
x20 = torch.randn(20, 1)
noise = torch.randn(20, 1)
y20 = 2 + 3 * x20
line, loss = descend(x20, y20, 5000)
print(f"slope {line.weight.item():.4f}, intercept {line.bias.item():.4f}, loss {loss:.1e}")
assert abs(line.weight.item() - 3) < 1e-3 and abs(line.bias.item() - 2) < 1e-3 and loss < 1e-8
with torch.no_grad():
    after = [p - 0.01 * p.grad for p in line.parameters()]
assert all(
    abs(p - q).item() < 5e-7 for p, q in zip(line.parameters(), after, strict=True)
)  # one more step: the last bit at most

# %% [markdown]
# The course this rung follows ends at a loss of the same kind:

# %%
from rungbook.recipes.book.lines import LineRecipe

print("the course:", course_figure(LineRecipe.reported[0]))
assert min(r.value for r in LineRecipe.reported) ** 0.5 < 1e-5

# %% [markdown]
# Such a number should make you suspicious. A squared error of that size is a distance in the sixth decimal, and measured
# points do not lie on a line to six decimals. Read the cell with
# the twenty points again: `noise` is made, and nothing uses it. The course's notebook does the same. What its loss
# measures is the rounding of float32: the last line of the cell shows that the steps have become too small to
# change a weight.
#
# With the noise added, least squares by scikit-learn and our descent still agree with each other. They agree
# neither with the truth nor with a loss of zero:

# %%
from sklearn.linear_model import LinearRegression

noisy = y20 + noise
line, loss = descend(x20, noisy, 1500)
slope, intercept = line.weight.item(), line.bias.item()
exact = LinearRegression().fit(x20.numpy(), noisy.numpy())
exact_loss = float(((exact.predict(x20.numpy()) - noisy.numpy()) ** 2).mean())
show(
    table(
        [
            {"who": "SGD", "slope": slope, "intercept": intercept, "loss": loss},
            {
                "who": "scikit-learn",
                "slope": exact.coef_.item(),
                "intercept": exact.intercept_.item(),
                "loss": exact_loss,
            },
            {"who": "the truth", "slope": 3.0, "intercept": 2.0, "loss": float(noise.pow(2).mean())},
        ]
    )
)
assert abs(slope - exact.coef_.item()) < 1e-4 and abs(intercept - exact.intercept_.item()) < 1e-4
assert exact_loss < float(noise.pow(2).mean())  # the fitted line is better on its own points than the true one
show(regression_line(x20, noisy, lambda v: slope * v + intercept, title="with the noise added"))

# %% [markdown]
# The loss on the points that were fitted is too low, because the line bends to their noise. How much? With noise of
# variance $\sigma^2$, $n$ points and two parameters it is $\sigma^2 (1 - 2/n)$ on average, and on new values at the
# same places $\sigma^2 (1 + 2/n)$. On new points no line can do better on average than $\sigma^2$, the [noise
# floor](#noise-floor). Two thousand draws of the noise show it:

# %%
design = torch.cat([torch.ones(20, 1), x20], 1).double()  # a column of ones, and x
draws = y20.double() + torch.randn(20, 2000, dtype=torch.float64)  # (20, 2000): a column is one set of twenty points
fitted = design @ torch.linalg.lstsq(design, draws).solution
on_own = (fitted - draws).pow(2).mean().item()
on_new = (fitted - y20.double() - torch.randn(20, 2000, dtype=torch.float64)).pow(2).mean().item()
print(f"noise floor 1; on the points fitted {on_own:.3f} (expected 0.9), on new points {on_new:.3f} (expected 1.1)")
assert abs(on_own - 0.9) < 0.04 and abs(on_new - 1.1) < 0.04

# %% [markdown]
# So a training loss of nearly zero says nothing about other points, and nothing at all if the noise was forgotten.
# Over five seeds, on 10,000 new points, the recipe `line` explains a share
# of <!-- ledger: line | test r2 -->0.9001 ± 0.0029<!-- / --> of the variance. With that noise no method can be
# expected to explain more than <!-- ledger: line | limit r2 -->0.9<!-- / -->.
#
# ## The cars
#
# The real set, Auto-MPG, has 392 cars of the 1970s and 80s with their weight in pounds and their miles per gallon
# ([Quinlan, 1993](#quinlan1993)). Here we take a *world*: cars drawn by a generator that was built to have the same
# mean weight, the same spread, and the same best line. It needs no download. The figures of the real cars stand
# beside ours, from the ledger.

# %%
from rungbook.recipes.book.cars import cars_table, closed_form, squared_error

cars = cars_table("world:cars", None, seed=0)
weight, mileage = cars.WGT.to_numpy(), cars.MPG.to_numpy()
print(cars.describe().loc[["count", "mean", "std", "min", "max"]].round(1))

# %% [markdown]
# ## Try every line of a grid
#
# The first idea needs no mathematics. Take five slopes and five intercepts, compute the loss of all 25 lines, keep
# the best.

# %%
from rungbook.recipes.book.cars import grid_search

show(source(grid_search))
coarse, fine, best = grid_search(weight, mileage, 5), grid_search(weight, mileage, 100), closed_form(weight, mileage)
errors = {
    name: float(squared_error(weight, mileage, line.intercept, line.slope))
    for name, line in {"25 lines": coarse, "10,000 lines": fine, "the best there is": best}.items()
}
show(table([{"way": name, "mean squared error": error} for name, error in errors.items()]))
assert errors["the best there is"] <= errors["10,000 lines"] < errors["25 lines"] < 1.1 * errors["the best there is"]


# %% tags=["hide-input"]
def grid_lines() -> Picture:
    """The 25 lines over the cars, the best of them thick."""
    ends = np.array([weight.min(), weight.max()])

    def paint(ax):
        ax.plot(weight, mileage, "o", color=TRAIN, markersize=2.5, alpha=0.5, markeredgewidth=0)
        for m in np.linspace(-0.01, 0, 5):
            for b in np.linspace(30, 51, 5):
                ax.plot(ends, b + m * ends, color=INK, linewidth=0.6, alpha=0.4)
        ax.plot(ends, coarse.at(ends), color=VALID)
        ax.set(xlabel="weight (lb)", ylabel="MPG", ylim=(-5, 55))

    said = f"{len(weight)} cars, 25 lines of five slopes and five intercepts; the best falls from {number(coarse.at(ends)[0])} to"
    return draw(paint, f"{said} {number(coarse.at(ends)[1])} MPG.", size=(4.0, 2.8))


show(grid_lines())

# %% [markdown]
# On the real cars the 25 lines
# reach <!-- ledger: cars data=auto-mpg | grid search 5 x 5 | fit mean_squared_error -->18.69<!-- / -->, the best line
# there is <!-- ledger: cars data=auto-mpg | closed form | fit mean_squared_error -->18.68<!-- / -->. So a grid works,
# for two parameters and for someone who already knew the ranges. Each further parameter multiplies the work by
# five: a network of 100 weights would ask for $5^{100}$ losses. We need to know which way is down.
#
# ## Downhill
#
# The loss is $L(b, m) = \frac{1}{n} \sum (b + m x_i - y_i)^2$. Call $e_i = b + m x_i - y_i$ the error of car $i$. A
# [partial derivative](#partial-derivative) holds one parameter still and asks how the loss changes with the other.
# By the chain rule
#
# $$\frac{\partial L}{\partial b} = \frac{2}{n} \sum e_i, \qquad \frac{\partial L}{\partial m} = \frac{2}{n} \sum e_i x_i.$$
#
# A derivative by hand is checked by [finite differences](#finite-difference): a small step up, a small step down,
# the difference divided by their distance.


# %%
def gradient(b: float, m: float, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """How the mean squared error changes with intercept and slope."""
    error = b + m * x - y
    return 2 * error.mean(), 2 * (error * x).mean()


def by_differences(b: float, m: float, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The same from losses alone."""
    db, dm = 1e-3, 1e-6
    up, right = (
        squared_error(x, y, b + db, m) - squared_error(x, y, b - db, m),
        squared_error(x, y, b, m + dm) - squared_error(x, y, b, m - dm),
    )
    return up / (2 * db), right / (2 * dm)


for b, m in [(35.0, 0.0), (40.0, -0.004), (0.0, 0.01)]:
    by_hand, numerical = gradient(b, m, weight, mileage), by_differences(b, m, weight, mileage)
    print(f"b {b:4.0f}, m {m:6.3f}: dL/db {by_hand[0]:10.4f}, dL/dm {by_hand[1]:14.2f}")
    np.testing.assert_allclose(by_hand, numerical, rtol=1e-5)

# %% [markdown]
# The two numbers differ by a factor of thousands. Keep that in mind.
#
# ## In pounds it stalls
#
# The course's descent starts at the line $y = 35$ and takes 100 steps along the gradient of the *sum* of the squared
# errors with a learning rate of 5e-11. (Its notes give no start. The 35 is read back from its result.) Why such a
# tiny rate? With one six times larger the loss explodes:

# %%
from rungbook.recipes.book.cars import raw_descent

show(source(raw_descent))
raw = raw_descent(weight, mileage)
raw_error = float(squared_error(weight, mileage, raw.intercept, raw.slope))
long = raw_descent(weight, mileage, epochs=10_000)
wild = raw_descent(weight, mileage, lr=3e-10)
show(
    table(
        [
            {
                "descent": name,
                "intercept": line.intercept,
                "slope": line.slope,
                "mean squared error": float(squared_error(weight, mileage, line.intercept, line.slope)),
            }
            for name, line in {
                "5e-11, 100 steps": raw,
                "5e-11, 10,000 steps": long,
                "3e-10, 100 steps": wild,
                "the best line": best,
            }.items()
        ]
    )
)
assert raw_error > 1.4 * errors["the best there is"]
assert (
    raw_error - float(squared_error(weight, mileage, long.intercept, long.slope)) < 0.01
)  # a hundred times the steps: nothing
assert abs(raw.intercept - 35) < 1e-4 and abs(best.intercept - 35) > 5
assert float(squared_error(weight, mileage, wild.intercept, wild.slope)) > 1e9
print(
    f"in 100 steps the intercept moved by {abs(raw.intercept - 35):.1g}, and should have moved by {abs(best.intercept - 35):.1f}"
)

# %% [markdown]
# Nothing fails and no warning comes. A plot of the loss over the steps falls and then lies flat, as a finished
# training does. On the real cars the same hundred steps end
# at <!-- ledger: cars data=auto-mpg | raw units | fit mean_squared_error -->28.12<!-- / -->, the course's own figure.
# The best line has <!-- ledger: cars data=auto-mpg | closed form | fit mean_squared_error -->18.68<!-- / -->. The
# picture shows what happened: the slope ran to the floor of a valley, and along the valley nothing moves. Its axes
# are stretched to fit, one unit of slope drawn a thousand times as long as one of intercept. Drawn to scale the
# valley would be a hair.

# %%
show(
    loss_surface(
        lambda b, m: squared_error(weight, mileage, b, m),
        np.linspace(0, 60, 61),
        np.linspace(-0.02, 0.02, 61),
        path=raw.path,
        best=(best.intercept, best.slope),
        names=("intercept b (MPG)", "slope m (MPG per lb)"),
        title="in pounds: 100 steps",
    )
)
# with the intercept held at 35, the best slope leaves this much: the descent has found exactly that, and no more
held = errors["the best there is"] + (best.intercept - 35) ** 2 * weight.var() / (weight**2).mean()
print(f"descent in pounds {raw_error:.4f}, the best that an intercept of 35 allows {held:.4f}")
assert abs(raw_error - held) < 1e-3

# %% [markdown]
# ## Why: one number
#
# A loss of squares has the same curvature everywhere. The second derivatives of $L$ form a matrix, the
# [Hessian](#hessian):
#
# $$H = 2 \begin{pmatrix} 1 & \bar x \\ \bar x & \overline{x^2} \end{pmatrix}.$$
#
# Its largest [eigenvalue](#eigenvalue) $\lambda_{\max}$ is the curvature across the valley, its smallest
# $\lambda_{\min}$ the one along it. A step multiplies the distance from the best line by $1 - \eta\lambda$ in each of
# these two directions, where $\eta$ is the learning rate. Take $\eta$ above $2/\lambda_{\max}$, and the first factor
# is below $-1$: the descent explodes. So $\eta$ is bounded by the steep direction, and the flat direction must live
# with it. What counts is the [condition number](#condition-number) $\lambda_{\max}/\lambda_{\min}$: about so many
# steps the flat direction needs.


# %%
def hessian(x: np.ndarray) -> np.ndarray:
    """Second derivatives of the mean squared error of a line."""
    return 2 * np.array([[1.0, x.mean()], [x.mean(), (x**2).mean()]])


units = {
    "pounds": weight,
    "thousands of pounds": weight / 1000,
    "pounds, less their mean": weight - weight.mean(),
    "divided by their standard deviation": weight / weight.std(),
    "both: standardised": (weight - weight.mean()) / weight.std(),
}
condition = {name: float(np.linalg.cond(hessian(x))) for name, x in units.items()}
show(
    table(
        [
            {
                "weight in": name,
                "condition number": f"{condition[name]:,.0f}",
                "largest learning rate": 2 / float(np.linalg.eigvalsh(hessian(x))[-1]),
            }
            for name, x in units.items()
        ]
    )
)
steps = np.log(1000) / 2 * condition["pounds"]
print(f"in pounds, with the best rate of all, the distance falls to a thousandth in {steps:,.0f} steps")
print(f"the course's 5e-11 goes with a sum over the cars; for their mean it is {5e-11 * len(weight):.1e}")
assert (
    condition["pounds"] > 1e7
    and condition["thousands of pounds"] < 1000
    and abs(condition["both: standardised"] - 1) < 1e-9
)
assert (
    condition["both: standardised"]
    < condition["divided by their standard deviation"]
    < condition["pounds, less their mean"]
)

# %% [markdown]
# To [standardise](#standardise) is to subtract the mean and divide by the standard deviation. Then the mean is 0
# and the mean square is 1, so that $H$ is twice the identity: the valley has become a round bowl, and downhill
# points straight at the goal. It is the same line and the same cars; only the unit of weight has changed. Counting
# in thousands of pounds alone takes away most of the number.
#
# ## In standard deviations it arrives

# %%
from rungbook.recipes.book.cars import standardised_descent

show(source(standardised_descent))
scaled = standardised_descent(weight, mileage)
scaled_error = float(squared_error(weight, mileage, scaled.intercept, scaled.slope))
print(f"ten steps at 0.3: {scaled_error:.6f}; the best line: {errors['the best there is']:.6f}")
print(f"slope per standard deviation {scaled.path[-1][1]:.3f}, intercept at the mean weight {scaled.path[-1][0]:.3f}")
assert scaled_error - errors["the best there is"] < 1e-4

# %% [markdown]
# At a rate of 0.3 each step multiplies the distance by $1 - 2 \cdot 0.3 = 0.4$. Ten steps leave $0.4^{10}$, a
# ten-thousandth. On the real cars this ends
# at <!-- ledger: cars data=auto-mpg | standardised | fit mean_squared_error -->18.68<!-- / -->, the best there is.
# The theory says more: 0.5 arrives in one step, 1 jumps from wall to wall for ever, and beyond 1 it flies out. Move
# the learning rate:

# %%
z = (weight - weight.mean()) / weight.std()
goal = (mileage.mean(), best.slope * weight.std())  # intercept at the mean weight, slope per standard deviation


def way(lr: float) -> Picture:
    """Ten steps over the bowl."""
    return loss_surface(
        lambda b, m: squared_error(z, mileage, b, m),
        np.linspace(-10, 56, 56),
        np.linspace(-36, 24, 56),
        path=standardised_descent(weight, mileage, lr=lr).path,
        best=goal,
        names=("intercept b (MPG)", "slope m (MPG per sd)"),
        title="standardised: 10 steps",
    )


rates = (0.02, 0.1, 0.3, 0.5, 0.8, 1.0, 1.03)
show(Slider("learning rate", {f"{lr:g}": way(lr) for lr in rates}, start="0.3"))
for lr in rates:
    end = standardised_descent(weight, mileage, lr=lr)
    above = float(squared_error(z, mileage, *end.path[-1])) - errors["the best there is"]
    predicted = (goal[0] ** 2 + goal[1] ** 2) * (
        1 - 2 * lr
    ) ** 20  # squared distance from the start at (0, 0), after ten steps
    np.testing.assert_allclose(above, predicted, rtol=1e-6, atol=1e-9)
    print(f"learning rate {lr:<4g}: {above:12.3g} above the best after ten steps")

# %% [markdown]
# ## The same without writing a derivative
#
# [Autograd](#autograd) finds the two derivatives by itself (lesson 5). The walk is the same walk, number for
# number:

# %%
from rungbook.recipes.book.cars import autograd_descent

show(source(autograd_descent))
automatic = autograd_descent(weight, mileage)
np.testing.assert_allclose(automatic.path, scaled.path, rtol=0, atol=1e-12)
print(f"largest difference on the way: {np.abs(automatic.path - scaled.path).max():.1e}")

# %% [markdown]
# ## The answer without a walk
#
# At the bottom both derivatives are zero. The first says that the errors add up to nothing, so the line passes
# through the mean weight and the mean mileage. Put into the second, it gives the [closed form](#closed-form): the
# slope is the covariance of weight and mileage over the variance of weight ([Gauss, 1809](#gauss1809)).

# %%
show(source(closed_form))
sklearn_line = LinearRegression().fit(weight[:, None], mileage)
np.testing.assert_allclose([best.slope, best.intercept], [sklearn_line.coef_[0], sklearn_line.intercept_], rtol=1e-9)
assert max(map(abs, gradient(best.intercept, best.slope, weight, mileage))) < 1e-6
np.testing.assert_allclose([scaled.slope, scaled.intercept], [best.slope, best.intercept], rtol=1e-3)
show(regression_line(weight, mileage, best.at, x_name="weight (lb)", y_name="MPG", title="the best line"))

# %% [markdown]
# If the answer can be written down, why walk? Because it can be written down for a line and for little else. A
# single bend in the model (lesson 8) and the closed form is gone; the walk stays as it is.
#
# ## How good is it, on other cars?
#
# Each figure above is judged on the cars the line was fitted to. A fair one judges each car by a line that never
# saw it: deal the cars into ten parts, fit to nine, judge the tenth. The recipe `cars` does it over five ways of
# dealing:

# %%
KEY, MSE, MAE = "cars data=auto-mpg", "mean_squared_error", "mean_absolute_error"
ways = ("grid search 5 x 5", "grid search 100 x 100", "raw units", "standardised", "autograd", "closed form")
show(
    table(
        [
            {
                "way (real cars)": name,
                "on the cars fitted": str(quote(KEY, name, "fit", MSE)),
                "on cars held out": str(quote(KEY, name, "test", MSE)),
                "mean absolute error (MPG)": str(quote(KEY, name, "test", MAE)),
            }
            for name in ways
        ]
    )
)
assert quote(KEY, "raw units", "test", MSE).mean > quote(KEY, "closed form", "test", MSE).mean + 5
assert quote(KEY, "closed form", "test", MSE).mean > quote(KEY, "closed form", "fit", MSE).mean
assert quote(KEY, "grid search 5 x 5", "test", MSE).mean == quote(KEY, "grid search 5 x 5", "fit", MSE).mean
assert 3 < quote(KEY, "closed form", "test", MAE).mean < 3.5

# %% [markdown]
# The spread is that of dealing the cars anew. The cars held out are worse by the little that two parameters can
# bend to 392 cars. The walk in pounds is far outside the spread, on either. The 25 lines cannot bend at all: the
# same one wins every time, and it looks best because whoever chose the grid knew where the line lies. The squared
# error is in squared miles per gallon; the mean absolute error is in miles per gallon, and says that the best line
# is about three of them off.


# %% tags=["hide-input"]
def held_out() -> Picture:
    """Real cars: each way's error on cars held out, and on those fitted."""

    def paint(ax):
        for i, name in enumerate(ways):
            ax.plot(
                quote(KEY, name, "fit", MSE).mean, i, "o", color=TRAIN, markersize=5, label="fitted" if i == 0 else None
            )
            ax.plot(
                quote(KEY, name, "test", MSE).mean,
                i,
                "s",
                color=VALID,
                markersize=5,
                label="held out" if i == 0 else None,
            )
        ax.axvline(quote(KEY, "closed form", "fit", MSE).mean, color=THIRD, linewidth=0.8)
        ax.set_yticks(range(len(ways)), ways)
        ax.set(xlabel="mean squared error (MPG squared)")
        ax.legend(frameon=False, loc="upper right")

    said = "; ".join(f"{name} {quote(KEY, name, 'test', MSE)}" for name in ways)
    return draw(paint, f"Mean squared error on real cars held out: {said}.", size=(4.6, 2.4))


show(held_out())

# %% [markdown]
# The question at the top has its answer. The best line is where both derivatives are zero; a machine finds it by
# stepping downhill; and in pounds the steps that do not explode are too small for the flat direction, which looks
# like an end and is none.
#
# ## What people get wrong
#
# - A flat loss is taken for the end. It may be a valley. Try another unit, or look at the size of the gradient.
# - The learning rate is blamed. In pounds no rate works: below $2/\lambda_{\max}$ it stalls, above it explodes, as
#   the table showed.
# - The inputs are standardised for training and forgotten at prediction. A line found in standard deviations must
#   be fed standard deviations, with the mean and spread of the *training* cars (exercise 1).
# - The noise is made and not added, or no points are held out: then a loss of zero is reported, and says nothing.
#
# ## Exercises
#
# ### Exercise 1: back to pounds
#
# A line over standardised weights has intercept $b$ and slope $m$. Write `back_to_pounds(b, m, mean, sd)`: the pair
# (intercept, slope) of the same line over weights in pounds. A right answer predicts the same mileage for every
# car.


# %%
def check_back_to_pounds(back_to_pounds):
    x = np.array([1800.0, 2900.0, 4700.0])
    for b, m, mean, sd in [(23.4, -6.5, 2977.6, 848.3), (1.0, 2.0, -5.0, 10.0)]:
        intercept, slope = back_to_pounds(b, m, mean, sd)
        assert np.isclose(slope, m / sd), f"slope {slope}: one pound is 1/sd of a standard deviation"
        assert np.allclose(intercept + slope * x, b + m * (x - mean) / sd), (
            "the predictions differ; what does the mean do to the intercept?"
        )


# %% tags=["solution"]
check_back_to_pounds(lambda b, m, mean, sd: (b - m * mean / sd, m / sd))
refuses(
    check_back_to_pounds,
    lambda b, m, mean, sd: (b, m / sd),
    lambda b, m, mean, sd: (b + m * mean / sd, m / sd),
    lambda b, m, mean, sd: (b - m * mean, m * sd),
)

# %% [markdown]
# ### Exercise 2: the largest learning rate
#
# Write `largest_rate(x)`: the learning rate above which gradient descent on the mean squared error of a line
# explodes. A right answer converges at 0.99 of it and explodes at 1.01 of it, for any `x`.


# %%
def check_largest_rate(largest_rate):
    rng = np.random.default_rng(0)
    for x in (rng.normal(0, 1, 50), rng.normal(3, 2, 50), rng.uniform(0, 1, 50)):
        rate, y = largest_rate(x), 1 + 2 * x
        for share, explodes in ((0.99, False), (1.01, True)):
            b, m, far = 0.0, 0.0, False
            for _ in range(1000):
                db, dm = gradient(b, m, x, y)
                b, m = b - share * rate * db, m - share * rate * dm
                far = far or abs(b) + abs(m) > 100
                if far:
                    break
            assert far == explodes, (
                f"at {share} of your rate it {'explodes' if far else 'does not explode'}: which eigenvalue counts?"
            )


# %% tags=["solution"]
check_largest_rate(lambda x: 2 / np.linalg.eigvalsh(hessian(x))[-1])
refuses(
    check_largest_rate,
    lambda x: 1 / np.linalg.eigvalsh(hessian(x))[-1],
    lambda x: 2 / np.linalg.eigvalsh(hessian(x))[0],
    lambda x: 1.0,
)

# %% [markdown]
# ### Exercise 3: one step, in pounds
#
# Standardising cured the valley by changing the unit. [Newton's method](#newton-method) cures it by asking the
# Hessian: it takes $H^{-1}$ times the gradient off the parameters. Write `newton_step(b, m, x, y)`, which gives the
# new `(b, m)`. A right answer arrives at the best line in a single step, from anywhere, in pounds.


# %%
def check_newton_step(newton_step):
    for start in ((35.0, 0.0), (0.0, 0.01)):
        b, m = newton_step(*start, weight, mileage)
        got = float(squared_error(weight, mileage, b, m))
        assert got < errors["the best there is"] + 1e-6, (
            f"mean squared error {got:.3f} after one step; does the step use all of H?"
        )


# %% tags=["solution"]
check_newton_step(lambda b, m, x, y: np.array([b, m]) - np.linalg.solve(hessian(x), gradient(b, m, x, y)))
refuses(
    check_newton_step,
    lambda b, m, x, y: np.array([b, m]) - 2e-8 * np.array(gradient(b, m, x, y)),
    lambda b, m, x, y: np.array([b, m]) + np.linalg.solve(hessian(x), gradient(b, m, x, y)),
    lambda b, m, x, y: np.array([b, m]) - np.array(gradient(b, m, x, y)) / np.diag(hessian(x)),
)

# %% [markdown]
# ## Sources
#
# - Least squares and why squares: [Gauss, 1809](#gauss1809), *Theoria motus*, section 179.
# - Gradient descent: [Cauchy, 1847](#cauchy1847).
# - Why the condition number decides: [Boyd and Vandenberghe, 2004](#boyd2004), section 9.3; why inputs are
#   standardised: [LeCun et al., 1998](#lecun1998b), section 4.3.
# - The cars: [Quinlan, 1993](#quinlan1993).
# - The course this lesson follows: [Fundamentals of Deep Learning](#fdl), notebook 1. The twenty points: the tutorial
#   for [NCSA's HAL cluster](#pytorchadventures), whose forgotten noise is the fault shown above.
