"""The models of the experiments, each with what an ordering needs of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from compare.data_sets import Task
from lightning_badge import GradientEmbedding
from lightning_badge.capture import capture
from lightning_badge.capture.posterior import dropout_layers, same_masks
from lightning_badge.examples.frozen import MLPHead
from lightning_badge.examples.logistic import Fit, fit_logistic
from lightning_badge.examples.models import Classifier, SmallCNN
from lightning_badge.exceptions import BadgeError

L2 = 0.01  # the default of model=frozen
TOLERANCE = 3e-5
STEPS, BATCH_SIZE = 200, 32
POSTERIOR_SAMPLES = 20  # the default of configs/strategy/bald.yaml
AT_ONCE = 500


class Learner(Protocol):
    """A model that is trained again and again on more labels."""

    has_dropout: bool

    def fit(self, inputs: Tensor, targets: Tensor, seed: int) -> None:
        """Trains on all labels."""

    def predict(self, inputs: Tensor) -> Tensor:
        """Returns the predicted classes ``[n]``."""
        ...

    def embed(self, inputs: Tensor, sample_ids: list[int]) -> GradientEmbedding:
        """Returns the gradient embedding of samples."""
        ...

    def posterior(self, inputs: Tensor, seed: int) -> Tensor:
        """Returns class probabilities under posterior samples, ``[n, s, c]``."""
        ...


class Linear:
    """Multinomial logistic regression on the inputs, as `LogisticHead` has it.

    Before the first fit all classes are equally probable.

    Args:
        task: The data set.
    """

    has_dropout = False

    def __init__(self, task: Task) -> None:
        width = task.inputs[0].numel()
        nothing = torch.zeros(task.classes, width, dtype=torch.float64)
        self._fit, self._scale = Fit(nothing, nothing[:, 0], 0.0, 0.0), 1.0

    def fit(self, inputs: Tensor, targets: Tensor, seed: int) -> None:
        """Solves the problem, beginning with the last solution."""
        del seed
        length = inputs.flatten(1).double().square().sum(dim=1).mean().sqrt()
        self._scale = float(1 / length.clamp(min=1e-12))
        self._fit = fit_logistic(
            self._scaled(inputs),
            targets,
            len(self._fit.bias),
            l2=L2,
            start=self._fit,
            tolerance=TOLERANCE,
        )

    def predict(self, inputs: Tensor) -> Tensor:
        """See `Learner`."""
        return self._logits(self._scaled(inputs)).argmax(dim=1)

    def embed(self, inputs: Tensor, sample_ids: list[int]) -> GradientEmbedding:
        """See `Learner`."""
        scaled = self._scaled(inputs)
        return GradientEmbedding.from_logits(scaled, self._logits(scaled), sample_ids=sample_ids)

    def posterior(self, inputs: Tensor, seed: int) -> Tensor:
        """There is none."""
        del inputs, seed
        raise BadgeError("model linear: has no dropout; leave out bald and batchbald")

    def _scaled(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1).float() * self._scale

    def _logits(self, scaled: Tensor) -> Tensor:
        return functional.linear(scaled, self._fit.weight.float(), self._fit.bias.float())


class Network:
    """A network that is trained from new random weights each time, by Adam.

    Args:
        build: Builds it.
    """

    has_dropout = True

    def __init__(self, build: Callable[[], Classifier]) -> None:
        self._build, self._model = build, _seeded(build, 0)

    def fit(self, inputs: Tensor, targets: Tensor, seed: int) -> None:
        """Trains for `STEPS` steps; the seed draws weights, batches and dropout."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self._build().train()
            optimizer = torch.optim.Adam(model.parameters(), lr=model.lr)
            for _ in range(STEPS):
                rows = torch.randint(len(targets), (min(BATCH_SIZE, len(targets)),))
                loss = functional.cross_entropy(model(inputs[rows]), targets[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        self._model = model.eval()

    def predict(self, inputs: Tensor) -> Tensor:
        """See `Learner`."""
        return self._logits(inputs).argmax(dim=1)

    def embed(self, inputs: Tensor, sample_ids: list[int]) -> GradientEmbedding:
        """See `Learner`."""
        data = TensorDataset(inputs, torch.tensor(sample_ids))
        loader = DataLoader(data, batch_size=AT_ONCE)
        return capture(self._model, loader, "head", loss="cross_entropy", sample_id_key=1)

    def posterior(self, inputs: Tensor, seed: int) -> Tensor:
        """See `Learner`; one dropout mask for all samples."""
        layers = dropout_layers(self._model)
        parts = []
        for sample in range(POSTERIOR_SAMPLES):
            with same_masks(layers, f"{seed}:{sample}"):
                parts.append(self._logits(inputs).softmax(dim=1))
        return torch.stack(parts, dim=1)

    @torch.no_grad()
    def _logits(self, inputs: Tensor) -> Tensor:
        return torch.cat([self._model(part) for part in torch.split(inputs, AT_ONCE)])


def _seeded(build: Callable[[], Classifier], seed: int) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def _mlp(task: Task) -> Learner:
    width = task.inputs[0].numel()
    return Network(lambda: MLPHead(task.classes, width))


def _cnn(task: Task) -> Learner:
    if task.inputs.ndim != 4:
        raise BadgeError("model cnn: expected images; use data such as digits or mnist")
    channels = task.inputs.shape[1]
    return Network(lambda: SmallCNN(task.classes, channels, width=16))


LEARNERS: dict[str, Callable[[Task], Learner]] = {"linear": Linear, "mlp": _mlp, "cnn": _cnn}


@dataclass(frozen=True)
class Score:
    """How well a model predicts the test part; both in 0..1."""

    accuracy: float
    balanced_accuracy: float


def score(learner: Learner, task: Task) -> Score:
    """Returns the share of test samples predicted right, and the mean of it over the classes."""
    is_right = (learner.predict(task.test_inputs) == task.test_targets).double()
    counts = torch.bincount(task.test_targets, minlength=task.classes)
    right = torch.bincount(task.test_targets, weights=is_right, minlength=task.classes)
    recall = right[counts > 0] / counts[counts > 0]
    return Score(float(is_right.mean()), float(recall.mean()))
