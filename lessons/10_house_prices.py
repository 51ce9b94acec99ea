# %% [markdown]
# # House prices
#
# A table of houses: numbers, words, empty cells, and a price. What must be done to it before a model can learn from
# it, how do you judge the model honestly on so few rows, and does a network beat a straight line?

# %% tags=["about"]
covers = ["L10"]
rung = 4
minutes = 50

# %%
import math
from statistics import mean, stdev

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from rungbook.book import refuses, show, source, table
from rungbook.data.table_target import skewness
from rungbook.data.worlds.registry import make_world
from rungbook.plot.columns import histograms
from rungbook.plot.style import INK, THIRD, TRAIN, VALID, draw

# %% [markdown]
# The table is made up: a [world](#world), with the columns of the well-known prices from Ames in Iowa and a rule we
# know. So the best possible score is known, which no real table offers. The figures of the real one are quoted
# where they count.

# %%
world = make_world("world:houses")
houses = world.sample(1460, seed=0).x
LIMIT = world.limit("root_mean_squared_log_error").value
show(histograms({name: houses[name].to_numpy() for name in houses}, target="SalePrice"))

# %% [markdown]
# ## Why the logarithm of the price
#
# Being 20,000 off is a disaster for a house of 60,000 and next to nothing for one of 600,000. What counts is the
# factor between the answer and the truth, and a factor becomes a distance in the logarithm. The score is therefore
# the [root mean squared log error](#root-mean-squared-log-error):
#
# $$\text{RMSLE} = \sqrt{\frac{1}{n}\sum_i \bigl(\log(1 + \hat y_i) - \log(1 + y_i)\bigr)^2}$$

# %%
pairs = [(66_000, 60_000), (660_000, 600_000), (60_000, 66_000), (80_000, 60_000), (620_000, 600_000)]
off = [
    {"said": said, "true": true, "off by": said - true, "difference of the logarithms": math.log(said / true)}
    for said, true in pairs
]
show(table(off))
assert math.isclose(
    off[0]["difference of the logarithms"], off[1]["difference of the logarithms"]
)  # a tenth too much, cheap or dear
assert (
    off[3]["off by"] == off[4]["off by"]
    and off[3]["difference of the logarithms"] > 8 * off[4]["difference of the logarithms"]
)

price = houses["SalePrice"].to_numpy()
show(histograms({"SalePrice": price, "log(SalePrice)": np.log(price)}))
print(f"skewness: {skewness(price):.2f} of the price, {skewness(np.log(price)):+.2f} of its logarithm")
assert skewness(price) > 1 and abs(skewness(np.log(price))) < 0.3

# %% [markdown]
# So the model is given $\log y$ to predict, standardised, with the plain squared error. It then answers
# $e^{\text{output}}$, which is never negative. The 1 under the logarithm keeps a price of 0 defined; at these
# prices it changes nothing.
#
# ## From columns to numbers
#
# Three steps, and each has something to be *learned from the training rows*: a middle value for what is missing, a
# mean and a spread, and the list of words.
#
# - Numbers are [standardised](#standardise): less the mean, divided by the standard deviation. Sizes are taken as
#   logarithms first, as they are skewed like the price.
# - An empty cell gets the [median](#median) of its column, and a column of its own with 1 says that it was empty.
# - Words become one column a word, 1 where the row has it and 0 elsewhere: [one-hot](#one-hot). A word never seen
#   in training, or none, is all zeros.

# %%
SIZES, COUNTS = ["LotFrontage", "LotArea", "GrLivArea"], ["OverallQual", "YearBuilt", "GarageCars"]
WORDS = ["Neighborhood", "HouseStyle", "Fence"]


class Prepare:
    """From rows to numbers, with what was learned from the rows it was fitted on."""

    def numbers(self, rows):
        return np.concatenate([np.log(rows[SIZES].to_numpy(float)), rows[COUNTS].to_numpy(float)], 1)

    def fit(self, rows):
        raw = self.numbers(rows)
        self.middle, self.gaps = np.nanmedian(raw, 0), np.isnan(raw).any(0)
        filled = np.where(np.isnan(raw), self.middle, raw)
        self.mean, self.std = filled.mean(0), filled.std(0)
        self.std[self.std == 0] = 1
        self.levels = {name: sorted(rows[name].dropna().unique()) for name in WORDS}
        return self

    def __call__(self, rows):
        raw = self.numbers(rows)
        empty = np.isnan(raw)
        parts = [(np.where(empty, self.middle, raw) - self.mean) / self.std, empty[:, self.gaps]]
        parts += [rows[[name]].to_numpy(object) == np.array(levels, object) for name, levels in self.levels.items()]
        return torch.tensor(np.concatenate(parts, 1))  # (rows, columns)


from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

first, rest = houses.iloc[:1000], houses.iloc[1000:]
theirs = make_column_transformer(
    (
        make_pipeline(
            FunctionTransformer(np.log, feature_names_out="one-to-one"),
            SimpleImputer(strategy="median"),
            StandardScaler(),
        ),
        SIZES,
    ),
    (StandardScaler(), COUNTS),
    (OneHotEncoder(handle_unknown="ignore", sparse_output=False), WORDS),
).fit(first)
ours = Prepare().fit(first)(rest)
numbers, gap, words = ours.split([6, 1, ours.shape[1] - 7], 1)
there = torch.tensor(
    theirs.transform(rest)
)  # scikit-learn gives a missing fence a column of its own; without it the two are one
named = [i for i, name in enumerate(theirs.get_feature_names_out()) if not name.endswith(("_nan", "_None"))]
torch.testing.assert_close(torch.cat([numbers, words], 1), there[:, named], rtol=1e-12, atol=1e-12)
print(f"{len(houses.columns) - 1} columns have become {ours.shape[1]}; the same numbers as scikit-learn's")

# %% [markdown]
# The library does the same and a little more: it looks itself which columns are skewed, keeps odd cells within
# bounds, and lets words seen less than three times share a place. Its statistics, too, come from the training rows
# only:

# %%
from rungbook.data.table_encoder import NumberFeature

show(source(NumberFeature.fit))

# %% [markdown]
# ## A straight line with a penalty
#
# Before any network stands what is simple. [Ridge regression](#ridge-regression) is the line of least squares with
# a penalty $\alpha\lVert w\rVert^2$ (lesson 9), in one go:


# %%
def ridge(x, y, alpha=3.0):
    """A function: prepared rows -> log price."""
    x_mean, y_mean = x.mean(0), y.mean()
    centred = x - x_mean
    gram = centred.T @ centred + alpha * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, centred.T @ (y - y_mean))
    return lambda rows: (rows - x_mean) @ weight + y_mean


from sklearn.linear_model import Ridge

x_first, y_first = Prepare().fit(first)(first), torch.tensor(np.log(first["SalePrice"].to_numpy()))
answer = ridge(x_first, y_first)(ours)
expected = torch.tensor(Ridge(alpha=3.0).fit(x_first.numpy(), y_first.numpy()).predict(ours.numpy()))
torch.testing.assert_close(answer, expected, rtol=1e-9, atol=1e-9)


def rmsle(log_price, rows):
    """Of answers as log price, against the prices in the rows."""
    said, true = np.exp(np.asarray(log_price)), rows["SalePrice"].to_numpy()
    return float(np.sqrt(np.mean((np.log1p(said) - np.log1p(true)) ** 2)))


print(f"ridge on the 460 other houses: {rmsle(answer, rest):.4f}; best possible {LIMIT:.4f}")
assert 0.95 * LIMIT < rmsle(answer, rest) < LIMIT

# %% [markdown]
# ## k-fold: every row is tested once
#
# Better than the best possible? No: the best possible is meant over all houses, and these 460 were easy ones. The
# figure depends on which houses fell among the 460. With [k-fold cross-validation](#cross-validation) every house is
# tested once: deal the rows into $k$ parts, learn from all but one and judge on that one, $k$ times. By hand it is
# four lines, and they give scikit-learn's parts.


# %%
def kfold(n, k, seed):
    """k pairs (rows to learn from, rows to judge on)."""
    order = np.random.RandomState(seed).permutation(n)
    for part in np.array_split(order, k):
        yield np.setdiff1d(order, part), np.sort(part)


from sklearn.model_selection import KFold

for n, k in ((1460, 5), (17, 4), (10, 10)):
    for (a, b), (c, d) in zip(kfold(n, k, 7), KFold(k, shuffle=True, random_state=7).split(np.zeros(n)), strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)


def fold_scores(rows, fit, k=5, seed=0):
    """RMSLE of each fold; rows are prepared anew from what each fold learns from."""
    scores = []
    for learn, judge in kfold(len(rows), k, seed):
        known, new = rows.iloc[learn], rows.iloc[judge]
        prepare = Prepare().fit(known)
        model = fit(prepare(known), torch.tensor(np.log(known["SalePrice"].to_numpy())))
        scores.append(rmsle(model(prepare(new)), new))
    return scores


# %% [markdown]
# What does it buy? Judge one and the same method in two ways, ten times each with a new shuffle: on a single
# tenth of the rows, and by five folds.

# %%
TIMES = 10
single, folded = [], []
for seed in range(TIMES):
    known, new = (houses.iloc[part] for part in next(kfold(len(houses), 10, 100 + seed)))
    prepare = Prepare().fit(known)
    line = ridge(prepare(known), torch.tensor(np.log(known["SalePrice"].to_numpy())))
    single.append(rmsle(line(prepare(new)), new))
    folded.append(mean(fold_scores(houses, ridge, seed=seed)))


# %% tags=["hide-input"]
def paint_spread(ax):
    for row, (values, colour) in enumerate(((single, TRAIN), (folded, VALID))):
        ax.plot(
            values,
            [row + 0.02 * (i - TIMES / 2) for i in range(TIMES)],
            "o",
            color=colour,
            markersize=4,
            markeredgewidth=0,
            alpha=0.7,
        )
    ax.axvline(LIMIT, color=THIRD, linewidth=1.2)
    ax.text(LIMIT, 1.45, " best possible", color=THIRD, fontsize=8, va="center")
    ax.set(
        yticks=[0, 1],
        yticklabels=["one part of a tenth", "mean of five folds"],
        ylim=(-0.5, 1.6),
        xlabel="root mean squared log error",
    )


words = f"Ten shuffles: a single part of 146 houses gives {min(single):.4f} to {max(single):.4f},"
words += f" five folds {min(folded):.4f} to {max(folded):.4f}."
show(draw(paint_spread, words, size=(5.0, 2.0)))

# %%
assert stdev(single) > 5 * stdev(folded)

# %% [markdown]
# The shuffle no longer decides. What remains, and no shuffling shows, is that these 1,460 houses are themselves a
# draw: for other houses the whole cloud of folds would sit elsewhere. The spread between folds is a hint of it and
# no more, because the folds share most of what they learn from ([Bengio and Grandvalet, 2004](#bengio2004)).
#
# ## Empty cells
#
# Sometimes rows with gaps are thrown away, or columns with gaps. In this world an empty cell means nothing by
# itself, and the frontage carries a little of the price. Five draws of the world, five folds each:


# %%
kept = []
for seed in range(5):
    rows = world.sample(1460, seed).x
    ways = {
        "median and a flag": rows,
        "column left out": rows.assign(LotFrontage=1.0),  # the same everywhere: nothing can be learned from it
        "rows with gaps left out": rows.dropna(subset=["LotFrontage"]),
    }
    kept.append({way: mean(fold_scores(changed, ridge)) for way, changed in ways.items()})

summary = {way: [one[way] for one in kept] for way in kept[0]}
show(table([{"way": way, "RMSLE": f"{mean(v):.4f} ± {stdev(v):.4f}", "least": min(v)} for way, v in summary.items()]))
assert all(a < b for a, b in zip(summary["median and a flag"], summary["column left out"], strict=True))
assert all(a < b for a, b in zip(summary["rows with gaps left out"], summary["median and a flag"], strict=True))
assert 0.12 < houses["LotFrontage"].isna().mean() < 0.22

# %% [markdown]
# Leaving out the rows looks best, and is a trap. The figure is that of other houses, the easier ones, whose
# frontage is known; for one house in six it has no answer at all. Compare methods on the same rows only.

# %% [markdown]
# ## A network, trained with Adam
#
# [Adam](#adam) is gradient descent that scales each weight's step by the size its gradients have had; lesson 15
# takes it apart. Here it matters that it works without a search for the rate. First a check: a single linear layer,
# trained by Adam, must arrive where the closed form is.


# %%
def by_adam(x, y, layers, *, epochs, lr, batch, seed=0, decay=0.0):
    """A function: prepared rows -> log price. The rate falls to zero along half a cosine."""
    torch.manual_seed(seed)
    middle, spread = y.mean(), y.std()
    model, goal = layers(x.shape[1]), ((y - middle) / spread)[:, None]
    dtype = next(model.parameters()).dtype
    x, goal = x.to(dtype), goal.to(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay, foreach=True)
    steps = epochs * math.ceil(len(x) / batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            F.mse_loss(model(x[index]), goal[index]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return lambda rows: model(rows.to(dtype)).detach()[:, 0].double() * spread + middle


linear = by_adam(x_first, y_first, lambda n: torch.nn.Linear(n, 1).double(), epochs=400, lr=0.05, batch=1000)
exact = ridge(x_first, y_first, alpha=1e-9)
apart = (linear(ours) - exact(ours)).abs().max().item()
print(f"least squares {rmsle(exact(ours), rest):.4f}, one linear layer by Adam {rmsle(linear(ours), rest):.4f}")
print(f"no answer differs by more than {apart:.1e}")
assert apart < 1e-4

# %% [markdown]
# Now one hidden layer of 64, with [dropout](#dropout) against learning by heart. The same five folds for both, so
# that the differences are paired.

# %%
from rungbook.models.tabular.mlp import MLP

network = lambda x, y: by_adam(x, y, lambda n: MLP(n, 1, hidden=(64,), dropout=0.3), epochs=20, lr=0.01, batch=128)
by_network, by_line = fold_scores(houses, network), fold_scores(houses, ridge)
differences = [a - b for a, b in zip(by_network, by_line, strict=True)]
show(
    table(
        [
            {"fold": i, "network": a, "ridge": b, "difference": a - b}
            for i, (a, b) in enumerate(zip(by_network, by_line, strict=True))
        ]
    )
)
print(f"network {mean(by_network):.4f}, ridge {mean(by_line):.4f}, best possible {LIMIT:.4f}")
print(f"difference {mean(differences):+.4f}, standard deviation {stdev(differences):.4f} over the folds")
assert abs(mean(by_network) / mean(by_line) - 1) < 0.1 and mean(by_line) < 1.08 * LIMIT

# %% [markdown]
# The network does not win. It could not: in this world the logarithm of the price *is* a weighted sum of the
# prepared columns, and ridge is already within a few percent of the best possible. Freedom that is not needed costs
# variance (lesson 9).
#
# And with real houses? The recipe `house_prices` averages a network with ridge. On new houses of this world it
# has <!-- ledger: house_prices | test root_mean_squared_log_error -->0.1306 ± 0.0032<!-- / -->, ridge with the same
# encoding <!-- ledger: house_prices | baseline ridge root_mean_squared_log_error -->0.1338<!-- / -->. On the real
# prices from Ames it
# has <!-- ledger: house_prices data=kaggle-house | test root_mean_squared_log_error -->0.140 ± 0.030<!-- / -->,
# ridge <!-- ledger: house_prices data=kaggle-house | baseline ridge root_mean_squared_log_error -->0.1401<!-- / -->,
# a random
# forest <!-- ledger: house_prices data=kaggle-house | baseline random_forest root_mean_squared_log_error -->0.1447<!-- / -->.
# The network and ridge are level: the spread between splits is many times their difference. So the answer to the
# last question is no, neither here nor on the real table.
#
# ## What people get wrong: leaks
#
# A [leak](#leak) is knowledge in training that you will not have when the model is used. Three kinds, from coarse
# to fine.
#
# **A column that gives the answer away.** Somebody has added the price per square foot.

# %%
scores = {"as it is": summary["median and a flag"], "with price per square foot": []}
for seed in range(5):
    rows = world.sample(1460, seed).x
    told = rows.assign(LotArea=rows["SalePrice"] / rows["GrLivArea"])  # stands in a column of numbers like any other
    scores["with price per square foot"].append(mean(fold_scores(told, ridge)))
show(
    table([{"table": k, "RMSLE": f"{mean(v):.4f} ± {stdev(v):.4f}", "best possible": LIMIT} for k, v in scores.items()])
)
assert all(v < 0.1 * LIMIT for v in scores["with price per square foot"])

# %% [markdown]
# Cross-validation notices nothing, because every fold has the column. Two things give it away: a score better than
# the best possible, where that is known, and otherwise the question, asked of each column: *would I know this on
# the day I need the answer?*
#
# **A standardiser fitted on all rows.** Mean and spread of the test rows have entered training. By how much does it
# flatter? To give it its best chance, learn from 40 houses only:

# %%
flattered = []
for seed in range(20):
    rows = world.sample(80, 1000 + seed).x
    learn, judge = rows.iloc[:40], rows.iloc[40:]
    y = torch.tensor(np.log(learn["SalePrice"].to_numpy()))
    honest_prepare, leaky_prepare = Prepare().fit(learn), Prepare().fit(learn)
    everything = Prepare().fit(rows)
    leaky_prepare.middle, leaky_prepare.mean, leaky_prepare.std = everything.middle, everything.mean, everything.std
    clean, leaky = (rmsle(ridge(p(learn), y)(p(judge)), judge) for p in (honest_prepare, leaky_prepare))
    flattered.append(clean - leaky)
error = stdev(flattered) / math.sqrt(len(flattered))
print(f"the leak flatters by {mean(flattered):+.5f} ± {error:.5f} (standard error over 20 draws)")
assert abs(mean(flattered)) < min(0.03 * LIMIT, 2.86 * error)

# %% [markdown]
# That cannot be told from nothing (2.86 standard errors, 99 %): means of inputs say next to nothing of prices. It is
# wrong on principle, because you do not have the rows of tomorrow, but it does not explain a good score.
#
# **Looking at the target.** A step that uses the *target* of all rows is another matter. Take 100 rows, 1,000
# columns of pure noise and a target that is noise as well: nothing can be learned. Choose the 20 columns that
# correlate best with the target, then judge by five folds.


# %%
def chosen(x, y, most=20):
    """The columns that correlate best with y."""
    z = (x - x.mean(0)) / x.std(0)
    return (z.T @ (y - y.mean())).abs().topk(most).indices


def r2_over_folds(x, y, seed, outside):
    """Share of the variance explained, where columns are chosen once outside the folds, or anew in each."""
    columns, said = chosen(x, y), torch.zeros_like(y)
    for learn, judge in kfold(len(y), 5, seed):
        if not outside:
            columns = chosen(x[learn], y[learn])
        said[judge] = ridge(x[learn][:, columns], y[learn])(x[judge][:, columns])
    return 1 - ((said - y).square().mean() / y.var(correction=0)).item()


found = {"chosen on all rows": [], "chosen within each fold": []}
for seed in range(10):
    generator = torch.Generator().manual_seed(seed)
    noise, y = (
        torch.randn(100, 1000, generator=generator, dtype=torch.float64),
        torch.randn(100, generator=generator, dtype=torch.float64),
    )
    for name, values in found.items():
        values.append(r2_over_folds(noise, y, seed, name == "chosen on all rows"))


# %% tags=["hide-input"]
def paint_leak(ax):
    for row, values in enumerate(found.values()):
        ax.plot(values, [row] * 10, "o", color=(VALID, TRAIN)[row], markersize=5, markeredgewidth=0, alpha=0.7)
    ax.axvline(0, color=INK, linewidth=1)
    ax.set(
        yticks=[0, 1],
        yticklabels=list(found),
        ylim=(-0.6, 1.6),
        xlabel="share of the variance of noise that is “explained”",
    )


words = ", ".join(f"{name} {mean(v):+.2f} (from {min(v):+.2f} to {max(v):+.2f})" for name, v in found.items())
show(draw(paint_leak, f"R² of noise over ten draws: {words}.", size=(5.0, 1.7)))

# %%
assert min(found["chosen on all rows"]) > 0.2 and max(found["chosen within each fold"]) < 0.1

# %% [markdown]
# Noise is "explained" where the choice was made on all rows. Everything that is learned, the choice of columns
# included, belongs inside the folds.
#
# ## The same in one command
#
# `rung train sales.csv --target price` does what this lesson does: reads the table, looks for what is wrong with it,
# splits, takes the logarithm if the price asks for it, encodes with the training rows alone, trains, sets mean,
# ridge and forest beside the result and adds five-fold scores below 2,000 rows. A small file with typical faults,
# and what it says of it:

# %%
import tempfile
from pathlib import Path

from rungbook import load_data

sales = world.sample(800, seed=0).x.rename(columns={"SalePrice": "price"})
sales.insert(0, "id", [f"H{i:05}" for i in range(800)])
sales["country"] = "US"
sales["tax"] = (0.0123 * sales["price"]).round(1)
sales["price_per_sqft"] = (sales["price"] / sales["GrLivArea"]).round(2)
sales = pd.concat([sales, sales.iloc[:3].assign(id=["H90000", "H90001", "H90002"])])
sales.iloc[7, sales.columns.get_loc("price")] = np.nan
with tempfile.TemporaryDirectory() as folder:
    sales.to_csv(Path(folder) / "sales.csv", index=False)
    read = load_data(Path(folder) / "sales.csv", target="price")
for finding in read.findings:
    print(f"{finding.code:>4}  {finding.message}")
said = " ".join(f.message for f in read.findings)
assert "tax" in said and '"id"' in said and "country" in said and "repeat" in said and "logarithm" in said
assert read.target.log and "tax" not in read.facts["used"] and "price_per_sqft" in read.facts["used"]

# %% [markdown]
# It left out the tax, which is the price times a constant; it put copies of a row on one side of the split; it kept
# `price_per_sqft`. One column alone does not give the price away there, it takes two. No audit replaces the
# question about each column.
#
# ## Exercises
#
# ### Exercise 1: standardise without looking
#
# Write `standardise(train, test)` for two tensors `(rows, columns)`. A right answer gives the training rows mean 0
# and standard deviation 1 in each column, treats test rows the same way, leaves no NaN for a column that never
# changes, and what it does to a test row does not depend on the other test rows.


# %%
def check_standardise(standardise):
    torch.manual_seed(0)
    train, test = 5 + 3 * torch.randn(50, 3, dtype=torch.float64), 9 + torch.randn(20, 3, dtype=torch.float64)
    train[:, 2] = 4.0
    a, b = standardise(train, test)
    assert a.isfinite().all() and b.isfinite().all(), "a column that never changes has spread 0"
    assert torch.allclose(a[:, :2].mean(0), torch.zeros(2, dtype=a.dtype), atol=1e-9), (
        "the training columns should have mean 0"
    )
    assert torch.allclose(a[:, :2].std(0, correction=0), torch.ones(2, dtype=a.dtype)), (
        "and standard deviation 1 (divide by n)"
    )
    assert torch.allclose(standardise(train, test[:5])[1], b[:5]), (
        "a test row changes with the other test rows: that is a leak"
    )
    assert torch.allclose(standardise(train, train)[1], a), "test rows should be treated as training rows are"


# %% tags=["solution"]
def standardise(train, test):
    middle, spread = train.mean(0), train.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return (train - middle) / spread, (test - middle) / spread


check_standardise(standardise)
refuses(
    check_standardise,
    lambda a, b: ((a - a.mean(0)) / a.std(0, correction=0), (b - a.mean(0)) / a.std(0, correction=0)),
    lambda a, b: (standardise(a, a)[0], standardise(b, b)[0]),
    lambda a, b: tuple(standardise(torch.cat([a, b]), torch.cat([a, b]))[0].split([len(a), len(b)])),
)

# %% [markdown]
# ### Exercise 2: folds that keep twins together
#
# Some houses were sold twice, and both sales are rows. If one of them is learned from and the other tested, the
# score is flattered. Write `group_folds(groups, k)`: `groups[i]` is the house of row `i`; give `k` arrays of row
# numbers. A right answer has every row in exactly one fold, never splits a house, and its folds differ by no more
# rows than the largest house has.


# %%
def check_group_folds(group_folds):
    rng = np.random.default_rng(0)
    for groups, k in (
        (rng.integers(0, 30, 100), 3),
        (np.arange(20), 4),
        (np.repeat([0, 1, 2, 3], [10, 1, 1, 1]), 3),
        (np.array([0, 1, 2] * 8), 2),
    ):
        parts = [np.asarray(p, dtype=int) for p in group_folds(groups, k)]
        assert len(parts) == k, f"expected {k} folds, got {len(parts)}"
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups))), (
            "each row belongs to exactly one fold"
        )
        for i in range(k):
            for j in range(i):
                assert not set(groups[parts[i]]) & set(groups[parts[j]]), "a house is in two folds"
        sizes = [len(p) for p in parts]
        assert max(sizes) - min(sizes) <= np.bincount(groups).max(), f"fold sizes {sizes}: deal to the smallest fold"


# %% tags=["solution"]
def group_folds(groups, k):
    parts = [[] for _ in range(k)]
    for house in np.unique(groups):
        min(parts, key=len).extend(np.flatnonzero(groups == house))
    return parts


check_group_folds(group_folds)
refuses(
    check_group_folds,
    lambda groups, k: np.array_split(np.arange(len(groups)), k),
    lambda groups, k: [np.flatnonzero(groups % 5 == i) for i in range(k)],
    lambda groups, k: [np.flatnonzero(groups == 0), np.flatnonzero(groups == 1), np.flatnonzero(groups > 1)],
    lambda groups, k: group_folds(groups, 3),
)

# %% [markdown]
# ## Sources
#
# - The houses of Ames: [De Cock, 2011](#decock2011). The competition with them and its score as an example of
#   k-fold: [Zhang et al., 2023](#zhang2023), section on house prices.
# - Cross-validation: [Stone, 1974](#stone1974); what its spread does not tell: [Bengio and Grandvalet,
#   2004](#bengio2004).
# - Choosing columns outside the folds: [Ambroise and McLachlan, 2002](#ambroise2002). Kinds of leaks: [Kaufman et
#   al., 2012](#kaufman2012).
# - Adam: [Kingma and Ba, 2015](#kingma2015). Ridge: [Hoerl and Kennard, 1970](#hoerl1970).
