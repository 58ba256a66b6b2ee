"""PyTorchSpikingClassifier: a spiking network as ART sees it."""

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from numbers import Integral
from typing import Any

import numpy as np
import torch
from art.data_generators import DataGenerator
from art.estimators.classification import PyTorchClassifier
from art.utils import check_and_transform_label_format
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import first_line, invalid, require, require_choice, require_count
from art_snn.classifier.activations import average_layer
from art_snn.classifier.inputs import (
    as_array,
    as_tensor,
    check_labels,
    check_samples,
    fill,
    lacks_preprocessing,
    refuse_masked,
    with_finite_rows,
)
from art_snn.gradients import Gradient
from art_snn.layers import device_of, dtype_of
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.running.context import keep_modes


class PyTorchSpikingClassifier(PyTorchClassifier):  # type: ignore[misc]  # ART has no types.
    """An ART classifier around a :class:`~art_snn.SpikingNetwork`.

    Attacks, trainers and metrics of ART differentiate the network with its attack
    gradient, and train it with its training gradient. Classifiers around one network
    share its rules; wrap `network.with_gradient(rule)` for another one.

    The constructor puts the network into evaluation mode. Every method leaves the mode,
    the rule and (outside training) the weights as they were, also when it is interrupted.

    :param model: the network, with its weights, its encoder and its rules.
    :param loss: loss over logits, such as torch.nn.CrossEntropyLoss().
    :param input_shape: shape of one sample: (C, H, W), or (T, C, H, W) for event frames.
    :param nb_classes: number of classes, the columns of the logits.
    :param optimizer: optimizer of the network's parameters, or of some; only training needs one.
    :param gradient: attack gradient, an instance or a name of GRADIENTS, set on the
        network; None leaves that of the network, which is STBP where it was given none.
    :param device_type: "gpu" or "cpu". "gpu" is the CUDA device of the network, or the
        current one for a network on the CPU. Without a CUDA device it is the CPU.
    :param options: of :class:`art.estimators.classification.PyTorchClassifier`:
        clip_values, the lowest and the highest value of a sample such as (0, 1), within
        which attacks stay; preprocessing, a mean and a standard deviation;
        preprocessing_defences and postprocessing_defences, which ART applies to the
        samples and to the logits.
    :raises TypeError: when the model is no SpikingNetwork, or for an unknown option.
    :raises ValueError: for an unknown gradient or device_type, preprocessing over time,
        or an optimizer of another network."""

    _model: Any
    _optimizer: Any
    _warned = False

    estimator_params = PyTorchClassifier.estimator_params + ["gradient"]  # noqa: RUF005

    def __init__(
        self,
        model: SpikingNetwork,
        loss: nn.modules.loss._Loss,
        input_shape: tuple[int, ...],
        nb_classes: int,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        device_type: str = "gpu",
        gradient: Gradient | str | None = None,
        **options: Any,
    ) -> None:
        _check_network(model)
        _check_preprocessing(options.get("preprocessing"), input_shape)
        require_choice(
            "device_type",
            device_type,
            ("gpu", "cpu"),
            remedy="'gpu' takes the current CUDA device where there is one, and the CPU elsewhere.",
        )
        with _card_of(model):  # ART moves the network to the current device.
            super().__init__(
                model,
                loss,
                tuple(input_shape),
                nb_classes,
                optimizer,
                device_type=device_type,
                **options,
            )
        self._layer_names = model.body.layer_names
        self.gradient = gradient
        self._model.eval()
        self._set_span()
        self._check_params()

    @property
    def gradient(self) -> Gradient:
        """The network's attack gradient; set it to an instance or to a name of GRADIENTS."""
        return self.model.gradient  # type: ignore[no-any-return]  # ART has no types.

    @gradient.setter
    def gradient(self, rule: Gradient | str | None) -> None:
        if rule is not None:
            self.model.gradient = rule

    def set_params(self, **kwargs: Any) -> None:
        """Set any of `estimator_params` by name, other than model and device_type.

        :raises ValueError: for these, an unknown parameter, or a value that the
            constructor refuses."""
        for name in kwargs.keys() & {"model", "device_type"}:
            raise invalid(
                name,
                "a parameter that can change",
                "one that is fixed",
                "Build a classifier of its own.",
            )
        _check_preprocessing(kwargs.get("preprocessing"), self.input_shape)
        with _card_of(self.model):
            super().set_params(**kwargs)
        self._set_span()

    def predict(
        self,
        x: ndarray,
        batch_size: int = 128,
        training_mode: bool = False,
        **kwargs: Any,
    ) -> ndarray:
        """Logits.

        :param x: samples ``(N, *input_shape)``, numpy or torch, as everywhere below.
        :param training_mode: mode of the network during the call.
        :return: logits (N, nb_classes) in the network's dtype (half precision as
            float32); NaN for samples that hold NaN or infinity, with a warning.
        :raises ValueError: for a wrong shape."""
        logits = as_array(self._predictions(x, batch_size, training_mode))
        return self._apply_postprocessing(preds=logits, fit=False)  # type: ignore[no-any-return]  # ART has no types.

    def compute_loss(
        self,
        x: Any,
        y: Any,
        reduction: str = "none",
        batch_size: int = 128,
        **kwargs: Any,
    ) -> Any:
        """Loss per sample, or reduced, without a graph and in batches.

        Of a tensor that requires a gradient there is a graph, with the attack gradient.

        :param y: labels (N,) or (N, nb_classes): one-hot, or whatever scores the loss can take.
        :param reduction: "none", "mean" or "sum".
        :return: losses (N,) or a scalar, of x's library and device; NaN as in :meth:`predict`.
        :raises ValueError: for bad samples or labels."""
        x, missing = self._finite_rows(x)
        y = self._scores(y, x)
        inputs, labels = self._apply_preprocessing(
            self._to_network(x), y, fit=False, no_grad=False
        )
        # A copy, since another thread may be computing a loss of its own.
        reduced = copy.copy(self._loss)
        reduced.reduction = reduction
        with keep_modes(self._model, False):
            if isinstance(x, Tensor) and x.requires_grad:
                logits = self._forward(inputs)
            else:
                logits = self._logits(inputs, batch_size)
            logits = fill(logits, missing, math.nan)
            loss = reduced(logits, self._targets(labels, logits))
        return loss.to(x.device) if isinstance(x, Tensor) else as_array(loss)

    def loss_gradient(
        self,
        x: Any,
        y: Any,
        training_mode: bool = False,
        gradient: Gradient | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Gradient of the loss by the samples, and by nothing else.

        :param y: labels as :meth:`compute_loss` takes them.
        :param gradient: rule for this call alone; None is :attr:`gradient`.
        :return: gradient of x's shape, library and device; 0 for samples that hold NaN or
            infinity, with a warning.
        :raises ValueError: for bad samples or labels, or an unknown rule."""
        x, missing = self._finite_rows(x)
        y = self._scores(y, x)
        with self._differentiating(training_mode, gradient):
            leaf, inputs, labels = self._leaf(x, y)
            logits = self._forward(inputs)
            loss = self._loss(logits, self._targets(labels, logits))
            (grads,) = torch.autograd.grad(loss.sum(), leaf)
        return self._return_as(x, fill(grads, missing, 0))

    def class_gradient(
        self,
        x: Any,
        label: int | list[int] | ndarray | None = None,
        training_mode: bool = False,
        gradient: Gradient | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Gradients of logits by the samples; other parameters as :meth:`loss_gradient`.

        :param label: None for all classes, one class for all samples, or one class per sample.
        :return: ``(N, nb_classes, *input_shape)``, or ``(N, 1, *input_shape)`` when label
            is given; of x's library and device; 0 as :meth:`loss_gradient`.
        :raises ValueError: for bad samples or labels, or an unknown rule."""
        x, missing = self._finite_rows(x)
        refuse_masked("label", label)
        classes = None if label is None else as_array(label)
        if classes is not None:
            classes = np.full(len(x), classes) if classes.ndim == 0 else classes
            check_labels(classes, len(x), self.nb_classes)
            require(
                classes.ndim == 1,
                "label",
                "one class, or one class index per sample",
                f"shape {classes.shape}",
                "Turn one-hot labels into indices: label.argmax(1).",
            )
        with self._differentiating(training_mode, gradient):
            leaf, inputs, _ = self._leaf(x, None)
            logits = self._forward(inputs)
            if classes is not None:
                columns = torch.as_tensor(classes, device=logits.device).long()
                logits = logits.gather(1, columns[:, None])

            rows = []
            for output in logits.sum(0):
                (grads,) = torch.autograd.grad(output, leaf, retain_graph=True)
                rows.append(self._return_as(x, fill(grads, missing, 0)))
        return torch.stack(rows, 1) if isinstance(x, Tensor) else np.stack(rows, axis=1)

    def get_activations(
        self, x: Any, layer: int | str, batch_size: int = 128, framework: bool = False
    ) -> Any:
        """Time-averaged output of a layer, such as the firing rates of neurons.

        :param layer: name or index in `layer_names`.
        :param framework: return a tensor, with a graph where x requires a gradient.
        :return: activations (N, ...), numpy unless `framework`; a tensor is on the device
            of x, or of the network for an array x.
        :raises ValueError: for an unknown layer or bad samples."""
        x = check_samples(x, self.input_shape)
        names = self._layer_names
        name = layer
        is_index = isinstance(layer, Integral) and not isinstance(layer, bool)
        if is_index and -len(names) <= int(layer) < len(names):
            name = names[int(layer)]
        require(
            name in names,
            "layer",
            f"an index below {len(names)} or one of {', '.join(names)}",
            repr(layer),
            "The names are in classifier.layer_names.",
        )
        graph = framework and isinstance(x, Tensor) and x.requires_grad
        inputs, _ = self._apply_preprocessing(
            self._to_network(x), y=None, fit=False, no_grad=not graph
        )
        inputs = as_tensor(inputs).to(self.device)
        batches = [inputs] if framework else _batches(inputs, batch_size)
        with keep_modes(self._model, False), torch.set_grad_enabled(graph):
            means = torch.cat(average_layer(self.model, str(name), batches))
        if not framework:
            return as_array(means)
        return means.to(x.device) if isinstance(x, Tensor) else means

    def fit(
        self,
        x: ndarray,
        y: ndarray,
        batch_size: int = 128,
        nb_epochs: int = 10,
        training_mode: bool = True,
        **options: Any,
    ) -> None:
        """Train the weights with the training gradient; parameters as in PyTorchClassifier.fit.

        :param options: drop_last, scheduler and verbose.
        :raises ValueError: for bad or no samples, bad labels, or a missing optimizer."""
        x = check_samples(x, self.input_shape)
        check_labels(y, len(x), self.nb_classes)
        self._check_optimizer()
        require(
            len(x),
            "x",
            "at least one sample to train on",
            "none",
            "Check the training set.",
        )
        batch_size = require_count(
            "batch_size", batch_size, remedy="ART's default is 128."
        )
        with keep_modes(self._model, training_mode):
            super().fit(x, as_array(y), batch_size, nb_epochs, training_mode, **options)

    def fit_generator(
        self,
        generator: DataGenerator,
        nb_epochs: int = 20,
        verbose: bool = False,
        **kwargs: Any,
    ) -> None:
        """Train on the batches (x, y) of an ART data generator, as PyTorchClassifier does.

        :raises ValueError: for anything that is no data generator, or a missing optimizer."""
        require(
            isinstance(generator, DataGenerator),
            "generator",
            "an art.data_generators.DataGenerator",
            type(generator).__name__,
            "Wrap a torch DataLoader in art.data_generators.PyTorchDataGenerator.",
        )
        self._check_optimizer()
        with keep_modes(self._model, True):
            super().fit_generator(generator, nb_epochs, verbose, **kwargs)

    def clone_for_refitting(self) -> "PyTorchSpikingClassifier":
        """A copy with new weights, and an optimizer that has not begun.

        :raises ValueError: without an optimizer."""
        self._check_optimizer()
        clone = copy.deepcopy(self)
        clone.reset()
        clone._optimizer.state.clear()
        return clone

    def reset(self) -> None:
        """Draw all weights again, by the network's `initialise` where it has one."""
        self.model.reset_parameters()

    def __eq__(self, other: object) -> bool:
        """True if the other classifier wraps the same layers, with any rule.

        AdversarialTrainer crafts for every batch only when its attack's classifier equals
        its own; attacks that wrap the network again must be equal."""
        if not isinstance(other, PyTorchClassifier):
            return False
        return getattr(other.model, "layers", other.model) is self.model.layers

    def __hash__(self) -> int:
        return hash(self.model.layers)

    def __getstate__(self) -> dict[str, Any]:
        """All but what ART wraps the network in; ART itself would write a file of weights."""
        state = self.__dict__.copy()
        del state["_model_wrapper"]
        return state | {"_model": self.model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._model = self._make_model_wrapper(state["_model"])
        self._device = device_of(self.model)

    def _apply_preprocessing(
        self, x: Any, y: Any, *args: Any, **options: Any
    ) -> tuple[Any, Any]:
        """As ART has it, or a copy of samples that it would standardise by 0 and 1.

        ART sends both numbers to the device at every call. Layers may write into the copy."""
        if lacks_preprocessing(self):
            return x * 1, y  # Of numpy or of torch.
        y = y.to(self.device) if isinstance(y, Tensor) else y
        return super()._apply_preprocessing(x, y, *args, **options)  # type: ignore[no-any-return]  # ART has no types.

    def _set_span(self) -> None:
        """Set the width of the network's input range, which some rules measure by."""
        if self.clip_values is not None:
            low, high = self.clip_values
            self.model.body.input_span = float(np.max(np.subtract(high, low)))

    @contextmanager
    def _differentiating(
        self, training: bool, gradient: Gradient | str | None
    ) -> Iterator[None]:
        rule = nullcontext() if gradient is None else self.model.using(gradient)
        constant = self.model.constant_weights()
        with rule, keep_modes(self._model, training), constant, torch.enable_grad():
            yield

    def _finite_rows(self, x: Any) -> tuple[Any, Tensor | None]:
        """As :func:`with_finite_rows`, with a warning for samples that are not finite."""
        x, missing = with_finite_rows(x, self.input_shape)
        if self._warned:
            return x, missing

        words = ""
        if missing is not None:
            words = "some samples hold NaN or infinity: their logits and losses are NaN, their "
            words += "gradients 0. This warning comes once per classifier."
        limits = self.clip_values
        if isinstance(x, ndarray) and x.size and limits is not None:
            # Such as bytes where shares are meant.
            reach = 10 * np.ptp(limits)
            if x.min() < limits[0].min() - reach or x.max() > limits[1].max() + reach:
                words = f"samples from {x.min():g} to {x.max():g}, far outside of clip_values: "
                words += "scale them."
        if words:
            self._warned = True
            warnings.warn(words, RuntimeWarning, stacklevel=3)
        return x, missing

    def _forward(self, inputs: Tensor) -> Tensor:
        """Logits of the network, which must be as many as there are classes."""
        try:
            logits: Tensor = self.model(inputs)
        except RuntimeError as error:
            if "shapes cannot be multiplied" not in str(error):
                raise
            expected = f"layers that take samples of shape {self.input_shape}"
            remedy = "Begin with nn.Flatten(), and wrap layers without time in TimeDistributed."
            raise invalid("model", expected, first_line(error), remedy) from error
        if logits.ndim != 2 or logits.shape[1] != self.nb_classes:
            expected = f"logits of shape [N, {self.nb_classes}], as nb_classes says"
            remedy = (
                "End the network with TimeDistributed(nn.Flatten(), nn.Linear(..., K))."
            )
            if logits.ndim == 2:
                remedy = f"Pass nb_classes={logits.shape[1]}, or give it as many outputs."
            raise invalid("model", expected, list(logits.shape), remedy)
        return logits

    def _predictions(
        self, x: Any, batch_size: int, training_mode: bool = False
    ) -> Tensor:
        """Predictions before postprocessing, a tensor on the network's device; so is x, if one."""
        x, missing = self._finite_rows(x)
        x, _ = self._apply_preprocessing(x, y=None, fit=False)
        with keep_modes(self._model, training_mode):
            return fill(self._logits(x, batch_size), missing, math.nan)

    @torch.no_grad()
    def _logits(self, x: Any, batch_size: int) -> Tensor:
        return torch.cat(
            [
                self._forward(batch.to(self.device))
                for batch in _batches(as_tensor(x), batch_size)
            ]
        )

    def _leaf(self, x: Any, y: Any) -> tuple[Tensor, Tensor, Any]:
        """(leaf that requires a gradient, network input, labels) of samples and labels."""
        x = self._to_network(x)
        numpy_defences = not self.all_framework_preprocessing
        if numpy_defences:
            x, y = self._apply_preprocessing(x, y=y, fit=False, no_grad=True)
        samples = as_tensor(x).detach()
        # Small gradients must not underflow. A copy, since the user may write to the array later.
        dtype = torch.promote_types(samples.dtype, dtype_of(self.model))
        leaf = samples.to(self.device, dtype, copy=True).requires_grad_()
        if numpy_defences:
            return leaf, leaf, y
        labels = None if y is None else as_tensor(y)
        inputs, labels = self._apply_preprocessing(
            leaf, y=labels, fit=False, no_grad=False
        )
        return leaf, inputs, labels

    def _scores(self, y: Any, x: Any) -> Any:
        """Labels as one row of scores per sample, in the library that x is of."""
        # Fetched at once: every question to labels on a card would be a wait for it.
        y = y.cpu() if isinstance(y, Tensor) else y
        check_labels(y, len(x), self.nb_classes)
        rows = (
            y if isinstance(y, Tensor) and y.ndim == 2 and y.shape[1] > 1 else as_array(y)
        )
        rows = check_and_transform_label_format(rows, self.nb_classes)
        return as_tensor(rows) if isinstance(x, Tensor) else as_array(rows)

    def _to_network(self, x: Any) -> Any:
        """Samples as preprocessing takes them: a tensor on the network's device.

        :raises ValueError: for a tensor where preprocessing works on numpy."""
        if not isinstance(x, Tensor):
            return x
        require(
            self.all_framework_preprocessing,
            "x",
            "a numpy array, because a preprocessing defence works on numpy",
            "a torch tensor",
            "Use the PyTorch version of the defence, or x.cpu().numpy().",
        )
        return x.to(self.device)

    def _targets(self, labels: Any, logits: Tensor) -> Tensor:
        """Labels as the loss takes them, on the device of the logits."""
        targets = torch.as_tensor(self.reduce_labels(labels), device=logits.device)
        return targets.to(logits.dtype) if targets.is_floating_point() else targets

    def _return_as(self, x: Any, grads: Tensor) -> Any:
        if isinstance(x, Tensor):
            return grads.to(x.device)
        if self.all_framework_preprocessing:
            return as_array(grads)
        return self._apply_preprocessing_gradient(x, as_array(grads))

    def _check_params(self) -> None:
        super()._check_params()
        if self._optimizer is not None:
            self._check_optimizer()

    def _check_optimizer(self) -> None:
        """Refuse no optimizer, and one that holds none of the network's parameters."""
        groups = () if self._optimizer is None else self._optimizer.param_groups
        weights = {weight for group in groups for weight in group["params"]}
        require(
            not weights.isdisjoint(self.model.parameters()),
            "optimizer",
            "an optimizer of the network's parameters",
            "one of another network, whose steps leave this one as it is"
            if weights
            else "None",
            "Pass optimizer=torch.optim.SGD(network.parameters(), lr=0.1).",
        )


def _batches(x: Tensor, size: int) -> Sequence[Tensor]:
    """At least one batch, which is empty where x is."""
    return torch.split(
        x, require_count("batch_size", size, remedy="ART's default is 128.")
    )


def _check_network(model: object) -> None:
    """Refuse anything but a spiking network with an affine readout."""
    if not isinstance(model, SpikingNetwork):
        raise TypeError(
            f"model: expected an art_snn.SpikingNetwork, got {type(model).__name__}. A model of "
            "SpikingJelly, snnTorch, Norse or sinabs becomes one by art_snn.interop.adapt(model, "
            "steps=8). Others are built with SpikingNetwork([TimeDistributed(nn.Flatten(), "
            "nn.Linear(64, 32)), LIF(), TimeDistributed(nn.Linear(32, 10))], "
            "encoder=Direct(steps=8)), or taken from art_snn.models."
        )
    last: Module = model.layers
    while isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    require(
        not isinstance(last, Neuron),
        "model",
        "a network whose last layer is affine",
        f"one that ends in {last}",
        "Add a readout, TimeDistributed(nn.Linear(...)): spike counts tie, and ART takes them for "
        "probabilities.",
    )


def _check_preprocessing(preprocessing: Any, input_shape: tuple[int, ...]) -> None:
    """Refuse preprocessing that ART would apply along the time axis of event frames."""
    several = isinstance(preprocessing, tuple) and any(
        np.size(v) > 1 for v in preprocessing
    )
    require(
        not several or len(input_shape) <= 3,
        "preprocessing",
        "one mean and one std, since ART applies several along the time axis",
        f"{preprocessing!r} for samples of shape {tuple(input_shape)}",
        "Normalise inside the network: TimeDistributed(Normalize(mean, std), ...).",
    )


def _card_of(network: Module) -> AbstractContextManager[Any]:
    """A context in which the CUDA device of the network, if it is on one, is the current one."""
    device = device_of(network)
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
