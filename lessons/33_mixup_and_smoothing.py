# %% [markdown]
# # Labels that are less than certain
#
# A label says: this is a four, and nothing else. Cross-entropy never has enough of that; it asks for scores further
# and further apart. What changes if the label says a little less, or if the picture is part four, part nine, and so
# is its label? And does it help?

# %% tags=["about"]
covers = ["V12", "D05"]
rung = 8
minutes = 50

# %%
import math
from statistics import mean, stdev

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_image
from torch import nn
from torch.nn import functional as F

from rungbook.book import refuses, show, source, table
from rungbook.data.augment.resize import resize
from rungbook.data.worlds.registry import make_world
from rungbook.learner.callbacks.mix import cutmix, mixup
from rungbook.plot.augment import View, view_grid
from rungbook.plot.judge import calibration, reliability
from rungbook.plot.plane import decision_boundary
from rungbook.plot.style import INK, TRAIN, VALID, draw
from rungbook.recipes.comparison import compare
from rungbook.recipes.ledger import load_ledger
from rungbook.recipes.quotes import quote
from rungbook.scratch.functional import classification

# %% [markdown]
# ## Certainty has no end
#
# With [one-hot](#one-hot) labels the [cross-entropy](#cross-entropy) of a sample is $-\log p_y$. It is 0 only at
# $p_y = 1$, and [softmax](#softmax) never gives 1 for finite [logits](#logit). So the best logits do not exist;
# they lie at infinity. [Label smoothing](#label-smoothing) ([Szegedy et al., 2016](#szegedy2016), section 7) asks
# for less: of $K$ classes the true one shall get $1 - \varepsilon + \varepsilon/K$ and each other $\varepsilon/K$.
# The [gradient](#gradient) by the logits is the same as ever, what is said less what is asked for:
#
# $$\frac{\partial L}{\partial z_k} = p_k - q_k, \qquad q = (1 - \varepsilon)\, e_y + \frac{\varepsilon}{K}$$
#
# It is 0 where $p = q$, and there the true logit lies above the others by a finite amount:
#
# $$\log \frac{1 - \varepsilon + \varepsilon / K}{\varepsilon / K} = \log \frac{(1-\varepsilon) K + \varepsilon}{\varepsilon}$$
#
# Ten logits, no network, plain gradient descent on each of the two:

# %%
K = 10
gaps = {}
for epsilon in (0.0, 0.1):
    z = torch.zeros(1, K, dtype=torch.float64, requires_grad=True)
    gaps[epsilon] = []
    for step in range(600):
        (gradient,) = torch.autograd.grad(F.cross_entropy(z, torch.tensor([3]), label_smoothing=epsilon), z)
        if step % 100 == 0:
            asked = torch.full((1, K), epsilon / K, dtype=torch.float64)
            asked[0, 3] += 1 - epsilon
            torch.testing.assert_close(gradient, z.softmax(1) - asked, rtol=1e-10, atol=1e-12)
        z.data -= gradient
        gaps[epsilon].append((z[0, 3] - z[0, 0]).item())
best = math.log(((1 - 0.1) * K + 0.1) / 0.1)
print(f"after 600 steps: {gaps[0.0][-1]:.2f} and growing; smoothed {gaps[0.1][-1]:.4f}, by the formula {best:.4f}")
assert abs(gaps[0.1][-1] - best) < 1e-6 and gaps[0.0][-1] > gaps[0.0][299] + 0.5


# %% tags=["hide-input"]
def paint_gaps(ax):
    for (epsilon, gap), colour in zip(gaps.items(), (VALID, TRAIN), strict=True):
        ax.plot(range(1, 601), gap, color=colour, label="one-hot" if epsilon == 0 else f"smoothed by {epsilon:g}")
    ax.axhline(best, color=INK, alpha=0.4, linewidth=1, linestyle=(0, (2, 2)))
    ax.set(xscale="log", xlabel="steps", ylabel="true logit above the others")
    ax.legend(frameon=False)


show(
    draw(
        paint_gaps,
        f"Gap between the true logit and the others over 600 steps: with one-hot labels it goes on growing like the logarithm "
        f"of the steps, {gaps[0.0][-1]:.1f} at the end; smoothed it stays at {gaps[0.1][-1]:.2f}.",
        size=(4.2, 2.5),
    )
)

# %% [markdown]
# ## A mixture of labels
#
# Cross-entropy is linear in the target: it is $-\sum_k q_k \log p_k$. So the loss of a mixture of two targets is the
# mixture of their losses,
#
# $$L(p,\; \lambda a + (1 - \lambda) b) = \lambda L(p, a) + (1 - \lambda) L(p, b)$$
#
# and likewise for the gradients. With it label smoothing can be read in three ways, all equal: a target between the
# label and "any class"; two losses, one of them the same for every sample; and the mean over labels that are
# replaced, with probability $\varepsilon$, by one drawn at random. Values and gradients, in float64, and the
# library's code for it:

# %%
g = torch.Generator().manual_seed(0)
z = torch.randn(6, K, dtype=torch.float64, generator=g, requires_grad=True)
y, other = torch.randint(0, K, (2, 6), generator=g)
epsilon, share = 0.1, 0.7
hot, hot_other = F.one_hot(y, K).double(), F.one_hot(other, K).double()
every_class = torch.stack([F.cross_entropy(z, torch.full((6,), k)) for k in range(K)]).mean()
ways = {
    "torch's label_smoothing": F.cross_entropy(z, y, label_smoothing=epsilon),
    "a target between": F.cross_entropy(z, (1 - epsilon) * hot + epsilon / K),
    "two losses": (1 - epsilon) * F.cross_entropy(z, y) - epsilon * z.log_softmax(1).mean(1).mean(),
    "labels replaced at random": (1 - epsilon) * F.cross_entropy(z, y) + epsilon * every_class,
    "ours": classification.cross_entropy(z, y, label_smoothing=epsilon),
}
gradients = [torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in ways.values()]
for loss, gradient in zip(ways.values(), gradients, strict=True):
    torch.testing.assert_close(loss, ways["a target between"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, gradients[0], rtol=1e-12, atol=1e-12)
mixed = F.cross_entropy(z, share * hot + (1 - share) * hot_other)
torch.testing.assert_close(mixed, share * F.cross_entropy(z, y) + (1 - share) * F.cross_entropy(z, other))
show(source(classification.cross_entropy))
print(f"{len(ways)} ways to smooth, one loss, one gradient; two labels mixed: the mixture of two losses")

# %% [markdown]
# One thing follows that surprises at the first training: a smoothed loss does not go to 0. Its least value is the
# [entropy](#entropy) of the target. A loss of 0.5 may be perfect, and must not be compared with one that was not
# smoothed.

# %%
perfect = torch.tensor([[best] + [0.0] * 9], dtype=torch.float64)
floor = F.cross_entropy(perfect, torch.tensor([0]), label_smoothing=0.1).item()
q = torch.tensor([0.91] + [0.01] * 9, dtype=torch.float64)
print(f"ten classes, smoothed by 0.1: never below {floor:.3f}; the same logits, not smoothed: {-math.log(0.91):.3f}")
assert abs(floor + (q * q.log()).sum().item()) < 1e-12

# %% [markdown]
# ## Mixtures of pictures
#
# [Mixup](#mixup) ([Zhang et al., 2018](#zhang2018)) mixes the inputs as well, with the same share:
# $\lambda x_i + (1 - \lambda) x_j$ and $\lambda y_i + (1 - \lambda) y_j$. The network is told to go evenly from one
# sample to the other. [CutMix](#cutmix) ([Yun et al., 2019](#yun2019)) pastes a rectangle of one picture into the other, and its
# share is that of the area.

# %%
show(source(mixup), source(cutmix))
photos = torch.cat(
    [
        resize(torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[None], (64, 96))
        for name in ("china.jpg", "flower.jpg")
    ]
)
photos, partner = photos / 255, torch.tensor([1, 0])
rows = {"mixup": [], "CutMix": []}
for i, own in enumerate((1.0, 0.8, 0.6, 0.4)):
    rows["mixup"].append(View(mixup(photos, partner, own, np.random.default_rng(0))[0], title=f"{own:.0%} temple"))
    cut, left = cutmix(photos, partner, own, np.random.default_rng(i))
    rows["CutMix"].append(View(cut[0], title=f"{left:.0%} temple"))
    assert abs((cut[0] == photos[0]).all(0).double().mean() - left) < 0.02
show(view_grid(rows, side=1.2))

# %% [markdown]
# The share is drawn for each batch, from a Beta distribution with both parameters $\alpha$: at 1 every share is
# as likely as any other, near 0 most are close to 0 or 1 and hardly anything is mixed. Who mixes with whom is a permutation of the
# batch, so one batch is enough.
#
# A rectangle that reaches over the edge is cut off, so more of the picture stays than was drawn. The label must go by
# what is there:

# %%
draw_shares = np.random.default_rng(0)
drawn, there = [], []
for _ in range(600):
    own = float(draw_shares.beta(1, 1))
    drawn.append(own)
    there.append(cutmix(photos, partner, own, draw_shares)[1])
print(f"share of the picture: drawn {mean(drawn):.2f} on average, there {mean(there):.2f}")
for alpha in (0.2, 1.0):
    shares = np.random.default_rng(1).beta(alpha, alpha, 10_000)
    print(f"alpha {alpha:g}: {np.mean((shares < 0.1) | (shares > 0.9)):.0%} of the shares are below 0.1 or above 0.9")
assert mean(there) > mean(drawn) + 0.05 and all(b >= a - 0.06 for a, b in zip(drawn, there, strict=True))

# %% [markdown]
# ## Does it help?
#
# 300 digits, a network with one [hidden layer](#hidden-layer), 100 steps, judged on 797 others, five seeds. Once
# with the true labels, and once with a fifth of the training labels replaced by wrong ones.

# %%
stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)
SEEDS = range(5)


def train(seed, wrong=0.0, epsilon=0.0, alpha=0.0, steps=100):
    """Probabilities for the digits kept apart, what they are, and the share of wrong labels that was learned."""
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    x, labels, rest = pixels[order[:300]], digit[order[:300]].clone(), order[1000:]
    torch.manual_seed(seed)
    chosen = torch.rand(300) < wrong
    labels[chosen] = (labels[chosen] + torch.randint(1, K, (int(chosen.sum()),))) % K
    targets, draw = F.one_hot(labels, K).float(), np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, K))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01, foreach=True)
    for _ in range(steps):
        inputs, asked = x, targets
        if alpha:
            own, partner = float(draw.beta(alpha, alpha)), torch.from_numpy(draw.permutation(300))
            inputs, asked = mixup(x, partner, own, draw), own * targets + (1 - own) * targets[partner]
        loss = F.cross_entropy(net(inputs), asked, label_smoothing=epsilon)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        learned = (net(x).argmax(1) == labels)[chosen].double().mean().item() if wrong else 0.0
        return net(pixels[rest]).softmax(1).numpy(), digit[rest].numpy(), learned


tricks = {"neither": {}, "smoothed by 0.1": {"epsilon": 0.1}, "mixup, alpha 1": {"alpha": 1.0}}
said = {
    (name, wrong): [train(seed, wrong, **trick) for seed in SEEDS]
    for wrong in (0.0, 0.2)
    for name, trick in tricks.items()
}
right = {key: [float((p.argmax(1) == y).mean()) for p, y, _ in of] for key, of in said.items()}
loss = {key: [float(-np.log(p[np.arange(len(y)), y]).mean()) for p, y, _ in of] for key, of in said.items()}
gap = {key: [float(p.max(1).mean() - (p.argmax(1) == y).mean()) for p, y, _ in of] for key, of in said.items()}
by_heart = {key: [learned for _, _, learned in of] for key, of in said.items()}
off = {key: [reliability(p, y).error for p, y, _ in of] for key, of in said.items()}
show(
    table(
        [
            {
                "wrong labels": f"{wrong:.0%}",
                "training": name,
                "accuracy": f"{mean(right[name, wrong]):.3f} ± {stdev(right[name, wrong]):.3f}",
                "log loss": f"{mean(loss[name, wrong]):.3f} ± {stdev(loss[name, wrong]):.3f}",
                "sure less right": f"{mean(gap[name, wrong]):+.3f}",
                "calibration error": f"{mean(off[name, wrong]):.3f}",
                "wrong ones learned": f"{mean(by_heart[name, wrong]):.0%}" if wrong else "",
            }
            for name, wrong in said
        ]
    )
)
for wrong in (0.0, 0.2):
    for name in ("smoothed by 0.1", "mixup, alpha 1"):
        both = right["neither", wrong], right[name, wrong]
        print(f"{wrong:.0%} wrong:", compare(*both, metric="accuracy", names=("neither", name)).words)
assert all(b > a for trick in list(tricks)[1:] for a, b in zip(loss["neither", 0.0], loss[trick, 0.0], strict=True))
assert all(b < a - 0.05 for a, b in zip(loss["neither", 0.2], loss["mixup, alpha 1", 0.2], strict=True))
assert all(b < a for a, b in zip(by_heart["neither", 0.2], by_heart["mixup, alpha 1", 0.2], strict=True))
assert mean(right["mixup, alpha 1", 0.2]) > mean(right["neither", 0.2]) + 0.04
assert abs(mean(right["mixup, alpha 1", 0.0]) - mean(right["neither", 0.0])) < 0.02

# %% [markdown]
# With true labels the two change hardly anything about which answers are right, and make the probabilities worse: the
# log loss is higher in every seed. The plain network was [calibrated](#calibration) well, as sure as it was right.
# The others are told to be less sure than that, and are.
#
# With a fifth of the labels wrong, smoothing helps a little and mixup a good deal: more answers are right, and with
# mixup the log loss is lower in every seed.
# The last column says why. The plain network learns a good part of the wrong labels by heart; a wrong label that is
# mixed with others, differently each time, is hard to learn by heart ([Zhang et al., 2018](#zhang2018), section
# 3.4, see the same). It is too unsure now, by more than the plain one was too sure.

# %%
for key in (("neither", 0.0), ("smoothed by 0.1", 0.0)):
    print(f"true labels, {key[0]}:")
    show(calibration(*said[key][0][:2]))
assert mean(off["neither", 0.0]) < 0.05 < 0.08 < mean(off["smoothed by 0.1", 0.0])

# %% [markdown]
# So "label smoothing calibrates" is not a property of label smoothing. It makes a network less sure. One that was
# too sure gets better by it ([Müller et al., 2019](#mueller2019), where large networks were), one that was not gets
# worse. How much less sure can be computed: if the true probability of a class is $p$, the best answer to smoothed
# labels is $(1 - \varepsilon) p + \varepsilon / K$.
#
# ## What the ledger says
#
# The recipes `smoothed_labels` and `mixtures` train a small convolutional network with batch norm. On shapes of which
# a tenth have wrong labels, five seeds:
#
# - labels as they are: <!-- ledger: smoothed_labels | labels as they are | test accuracy -->87.4 ± 1.3 %<!-- / -->, log loss <!-- ledger: smoothed_labels | labels as they are | test log_loss -->0.615 ± 0.028<!-- / -->
# - smoothed by 0.1: <!-- ledger: smoothed_labels | smoothed by 0.1 | test accuracy -->87.6 ± 1.4 %<!-- / -->, log loss <!-- ledger: smoothed_labels | smoothed by 0.1 | test log_loss -->0.629 ± 0.026<!-- / -->
#
# On 5,000 pictures of clothes, twenty epochs, three seeds:
#
# - as they are: <!-- ledger: mixtures data=fashion-mnist train_samples=5000 | as they are | test accuracy -->85.9 ± 0.2 %<!-- / -->, log loss <!-- ledger: mixtures data=fashion-mnist train_samples=5000 | as they are | test log_loss -->0.4049 ± 0.0036<!-- / -->
# - mixup: <!-- ledger: mixtures data=fashion-mnist train_samples=5000 | mixup | test accuracy -->85.9 ± 0.2 %<!-- / -->, log loss <!-- ledger: mixtures data=fashion-mnist train_samples=5000 | mixup | test log_loss -->0.4331 ± 0.0035<!-- / -->
# - CutMix: <!-- ledger: mixtures data=fashion-mnist train_samples=5000 | CutMix | test accuracy -->84.6 ± 0.2 %<!-- / -->, log loss <!-- ledger: mixtures data=fashion-mnist train_samples=5000 | CutMix | test log_loss -->0.4873 ± 0.0028<!-- / -->

# %%
ledger = load_ledger()
clothes = "mixtures data=fashion-mnist train_samples=5000"
verdict = {}
for key, plain, others in (
    ("smoothed_labels", "labels as they are", ["smoothed by 0.1"]),
    (clothes, "as they are", ["mixup", "CutMix"]),
):
    for name in others:
        for metric in ("accuracy", "log_loss"):
            values = [ledger.get(key).figure(v, "test", metric)["values"] for v in (plain, name)]
            verdict[name, metric] = compare(*values, metric=metric, names=(plain, name))
            print(f"{metric}: {verdict[name, metric].words}")
assert abs(verdict["smoothed by 0.1", "accuracy"].difference) < 0.005
assert verdict["smoothed by 0.1", "log_loss"].better == "labels as they are"
assert not verdict["mixup", "accuracy"].better and verdict["mixup", "log_loss"].better == "as they are"
assert verdict["CutMix", "accuracy"].better == verdict["CutMix", "log_loss"].better == "as they are"
assert quote(clothes, "mixup", "test", "accuracy").n == 3

# %% [markdown]
# None of the three helps here. Smoothing moves the accuracy by a fifth of a point, which its interval can just tell
# from nothing (of six comparisons one may do that by chance), mixup by nothing, CutMix to the worse; and all three
# cost log loss. The papers train large networks for hundreds of epochs. Whether mixtures help a small one that sees
# 5,000 pictures twenty times is another question, and the answer here is no. (That smoothing should cost a little log
# loss on shapes can be worked out: a tenth of the labels is wrong, so the true probability is 0.9, and a perfect answer
# to smoothed labels says less.)

# %%
true, classes = 0.9, 4
limit = make_world("shapes").limit("log_loss").value
smoothed = (1 - 0.1) * true + 0.1 / classes
costs = -true * math.log(smoothed) - (1 - true) * math.log((1 - smoothed) / (classes - 1))
print(
    f"best log loss on shapes {limit:.4f}; of the best answer to smoothed labels {costs:.4f}, which is {smoothed:.3f} sure"
)
assert abs(limit + true * math.log(true) + 0.1 * math.log(0.1 / 3)) < 1e-6 and costs > limit + 0.01

# %% [markdown]
# ## Where a mixture lies
#
# Mixup says that between two samples the answer changes evenly. Is that true? Two classes, two rings, one
# within the other. A mixture of two points of the outer ring may lie on the inner one, and is labelled outer, with
# certainty. With mixup and without, 200 points, five seeds:

# %%
world = make_world("circles(n=400, flip=0)")
test = world.sample(2000, seed=99)


def circles(seed, alpha):
    found = world.sample(200, seed)
    x, targets = torch.from_numpy(found.x).float(), F.one_hot(torch.from_numpy(found.y), 2).float()
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    optimiser, draw = torch.optim.Adam(net.parameters(), lr=0.02, foreach=True), np.random.default_rng(seed)
    for _ in range(90):
        own = float(draw.beta(alpha, alpha)) if alpha else 1.0
        partner = torch.from_numpy(draw.permutation(200))
        loss = F.cross_entropy(net(mixup(x, partner, own, draw)), own * targets + (1 - own) * targets[partner])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return lambda points: net(torch.as_tensor(points, dtype=torch.float32)).detach().softmax(1).numpy()


outer, radius = test.x[test.y == 0], np.linalg.norm(test.x, axis=1)
near, far = radius[test.y == 1].min(), radius[test.y == 1].max()
assert radius[test.y == 0].min() > far
evenly = np.random.default_rng(0).random((len(outer), 1))
lies = np.linalg.norm(evenly * outer + (1 - evenly) * outer[::-1], axis=1)
print(
    f"{np.mean((lies > near) & (lies < far)):.0%} of the mixtures of two points of the outer ring lie on the inner one"
)
assert np.mean((lies > near) & (lies < far)) > 0.05
models = {name: [circles(seed, alpha) for seed in SEEDS] for name, alpha in (("plain", 0.0), ("mixup, alpha 1", 1.0))}
hits = {name: [float((model(test.x).argmax(1) == test.y).mean()) for model in of] for name, of in models.items()}
doubt = {name: mean(float((model(test.x).max(1) < 0.9).mean()) for model in of) for name, of in models.items()}
for name in models:
    print(
        f"{name}: right {mean(hits[name]):.1%} ± {stdev(hits[name]):.1%}, less than 90% sure of {doubt[name]:.0%} of the points"
    )
points = world.sample(200, 0)
for name, of in models.items():
    show(decision_boundary(of[0], points.x, points.y, names=("outer", "inner"), feature_names=("x", "y"), title=name))
assert doubt["plain"] < 0.05 and doubt["mixup, alpha 1"] > 0.25 and mean(hits["plain"]) >= mean(hits["mixup, alpha 1"])

# %% [markdown]
# The plain network is right everywhere and knows it; the other is taught doubt that is in the data nowhere. A mean of
# two pictures is rarely a picture of a third class, so there the lie is smaller. It is a
# statement about the task, like every augmentation (lesson 32).
#
# What people get wrong: they mix or smooth in validation too, and compare losses that have other floors. They read
# training accuracy of mixed batches as if there were a right answer. They smooth a teacher's labels: classes that
# resemble each other are no longer told apart in its answers, and a student learns less from it ([Müller et al.,
# 2019](#mueller2019)). And they take a trick from a paper on a large network, and do not run the training without it.
#
# The course's form mixes the two losses in place of the targets, and takes the larger of $\lambda$ and $1 -
# \lambda$, so that no two samples make the same mixture twice ([fast.ai, part 2](#fastai2019), notebook 10b; it
# shows no results). By linearity it is the same loss.
#
# So what changes? The scores stay finite, and the network is less sure. That helps one that is too sure.
# Here it was one that had learned wrong labels by heart; with true labels, or with a tenth of them wrong on shapes,
# nothing was gained. Train without it too, and compare.
#
# ## Exercises
#
# ### Exercise 1: back to the truth
#
# A network learned from labels smoothed by `epsilon`, and answers as well as can be. Write `truth(q, epsilon)`: the
# true probabilities, from its answers `q` (n, K). In a right answer rows sum to one.


# %%
def check_truth(truth):
    p = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    for epsilon in (0.0, 0.1, 0.4):
        q = (1 - epsilon) * p + epsilon / 3
        z = q.log().clone().requires_grad_()
        loss = sum(
            p[:, k] @ F.cross_entropy(z, torch.full((3,), k), label_smoothing=epsilon, reduction="none")
            for k in range(3)
        )
        assert torch.autograd.grad(loss, z)[0].abs().max() < 1e-12  # q is the best answer to smoothed labels
        got = truth(q, epsilon)
        assert torch.allclose(got.sum(1), torch.ones(3).double()), "rows must sum to one"
        assert torch.allclose(got, p, atol=1e-9), (
            f"epsilon = {epsilon}: q = (1 - epsilon) p + epsilon / K, solved for p?"
        )


# %% tags=["solution"]
check_truth(lambda q, epsilon: (q - epsilon / q.shape[1]) / (1 - epsilon))
refuses(
    check_truth,
    lambda q, epsilon: q,
    lambda q, epsilon: (q - epsilon / q.shape[1]).clamp(min=0),
    lambda q, epsilon: (q ** (1 / (1 - epsilon))) / (q ** (1 / (1 - epsilon))).sum(1, keepdim=True),
)

# %% [markdown]
# ### Exercise 2: cut and paste
#
# Write `paste(x, partner, top, left, side)`: of pictures (B, C, H, W) a square of the partner's pixels from row
# `top` and column `left` on, and as a second result the share of each picture that is still its own. The square may
# reach over the edge; a negative `top` means that its first rows lie outside. Leave `x` as it is.


# %%
def check_paste(paste):
    x = torch.arange(2 * 1 * 6 * 8, dtype=torch.float32).view(2, 1, 6, 8)
    partner = torch.tensor([1, 0])
    for top, left, side, inside in ((1, 2, 3, 9), (4, 6, 5, 4), (-2, -1, 4, 6), (0, 0, 8, 48)):
        kept = x.clone()
        got, own = paste(x, partner, top, left, side)
        assert torch.equal(x, kept), "the batch itself was changed"
        taken = (got == x[partner]).sum().item() / 2
        assert taken == inside, (
            f"square of {side} from ({top}, {left}): {taken:g} pixels are the partner's, not {inside}"
        )
        for r in range(6):
            for c in range(8):
                whose = x[partner] if top <= r < top + side and left <= c < left + side else x
                assert torch.equal(got[:, :, r, c], whose[:, :, r, c]), f"row {r}, column {c} is of the wrong picture"
        assert abs(own - (1 - inside / 48)) < 1e-9, (
            f"{inside} of 48 pixels are the partner's, the share said is {own:.3f}"
        )


# %% tags=["solution"]
def right_paste(x, partner, top, left, side, by_area=True):
    H, W = x.shape[2:]
    rows, columns = slice(max(0, top), min(H, top + side)), slice(max(0, left), min(W, left + side))
    mixed = x.clone()
    mixed[:, :, rows, columns] = x[partner][:, :, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start) if by_area else side * side
    return mixed, 1 - area / (H * W)


def changes_x(x, partner, top, left, side):
    mixed, own = right_paste(x, partner, top, left, side)
    x.copy_(mixed)
    return mixed, own


check_paste(right_paste)
refuses(
    check_paste,
    lambda *given: right_paste(*given, by_area=False),
    lambda x, partner, top, left, side: right_paste(x, partner, max(0, top), max(0, left), side),
    changes_x,
)

# %% [markdown]
# ## Sources
#
# - Label smoothing: [Szegedy et al., 2016](#szegedy2016), section 7. When it helps: [Müller et al., 2019](#mueller2019).
#   Labels replaced at random: [Xie et al., 2016](#xie2016).
# - Mixup: [Zhang et al., 2018](#zhang2018). CutMix: [Yun et al., 2019](#yun2019).
# - Calibration: [Guo et al., 2017](#guo2017).
