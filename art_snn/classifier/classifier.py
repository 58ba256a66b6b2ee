"""PyTorchSpikingClassifier: a spiking network as ART sees it."""

import copy
import inspect
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from numbers import Integral
from typing import Any

import numpy as np
import torch
from art.data_generators import DataGenerator, PyTorchDataGenerator
from art.estimators.classification import PyTorchClassifier
from art.utils import check_and_transform_label_format
from torch import Tensor, nn

from art_snn.checks import invalid, require, require_count
from art_snn.classifier.inputs import (
    InputFacts,
    as_array,
    as_tensor,
    check_device_type,
    check_labels,
    check_network,
    check_preprocessing,
    check_samples,
    fill,
    lacks_preprocessing,
    move_together,
    refuse_masked,
    use_card_of,
    with_finite_rows,
)
from art_snn.gradients import Gradient
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.progress import progress_over


class PyTorchSpikingClassifier(PyTorchClassifier):  # type: ignore[misc]
    """An ART classifier around a :class:`~art_snn.SpikingNetwork`.

    Attacks, trainers and metrics of ART differentiate the network with its attack gradient, and
    train it with its training gradient. Classifiers around one network share its rules; wrap
    `network.with_gradient(rule)` for another one.

    The constructor puts the network into evaluation mode. Every method leaves the mode, the rule
    and (outside training) the weights as they were, also when it is interrupted.

    :param loss: loss over logits, such as torch.nn.CrossEntropyLoss().
    :param input_shape: shape of one sample: (C, H, W), or (T, C, H, W) for event frames.
    :param optimizer: optimizer of the network's parameters; only training needs one.
    :param gradient: attack gradient, an instance or a name of GRADIENTS, set on the network; None
        leaves it.
    :param attack_dtype: precision of gradients at the input, set on the network: "bfloat16",
        "float16" or "auto"; None leaves it.
    :param device_type: "gpu" or "cpu". "gpu" is the CUDA device of the network, or the current one
        for a network on the CPU. Without a CUDA device it is the CPU.
    :raises TypeError: when the model is no SpikingNetwork.
    :raises ValueError: for an unknown gradient or device_type, or preprocessing over time. The
        other parameters are those of :class:`art.estimators.classification.PyTorchClassifier`."""

    _model: Any
    _optimizer: Any
    _warned = False

    estimator_params = PyTorchClassifier.estimator_params + ["gradient", "attack_dtype"]  # noqa: RUF005

    def __init__(
        self,
        model: SpikingNetwork,
        loss: nn.modules.loss._Loss,
        input_shape: tuple[int, ...],
        nb_classes: int,
        optimizer: torch.optim.Optimizer | None = None,
        use_amp: bool = False,
        opt_level: str = "O1",
        loss_scale: float | str | None = "dynamic",
        channels_first: bool = True,
        clip_values: Any = None,
        preprocessing_defences: Any = None,
        postprocessing_defences: Any = None,
        preprocessing: Any = (0.0, 1.0),
        device_type: str = "gpu",
        gradient: Gradient | str | None = None,
        attack_dtype: str | torch.dtype | None = None,
    ) -> None:
        check_network(model)
        check_preprocessing(preprocessing, input_shape)
        check_device_type(device_type)
        # ART moves the network to the current device.
        with use_card_of(model):
            super().__init__(
                model=model,
                loss=loss,
                input_shape=tuple(input_shape),
                nb_classes=nb_classes,
                optimizer=optimizer,
                use_amp=use_amp,
                opt_level=opt_level,
                loss_scale=loss_scale,
                channels_first=channels_first,
                clip_values=clip_values,
                preprocessing_defences=preprocessing_defences,
                postprocessing_defences=postprocessing_defences,
                preprocessing=preprocessing,
                device_type=device_type,
            )
        self._layer_names = model.layer_names
        self.gradient = gradient
        if attack_dtype is not None:
            self.attack_dtype = attack_dtype
        self._model.eval()
        self._set_span()
        self._check_params()

    @property
    def gradient(self) -> Gradient:
        """The network's attack gradient; set it to an instance or to a name of GRADIENTS."""
        return self.model.gradient  # type: ignore[no-any-return]

    @gradient.setter
    def gradient(self, rule: Gradient | str | None) -> None:
        if rule is not None:
            self.model.gradient = rule

    @property
    def attack_dtype(self) -> str | None:
        """Precision of gradients at the input, that of the network: see SpikingNetwork."""
        return self.model.attack_dtype  # type: ignore[no-any-return]

    @attack_dtype.setter
    def attack_dtype(self, dtype: str | torch.dtype | None) -> None:
        self.model.attack_dtype = dtype

    def set_params(self, **kwargs: Any) -> None:
        """Set any of `estimator_params` by name; a new device_type moves the network.

        :raises ValueError: for an unknown parameter, or a value that the constructor refuses."""
        if "device_type" in kwargs:
            check_device_type(kwargs["device_type"])
        if "preprocessing" in kwargs:
            check_preprocessing(kwargs["preprocessing"], self.input_shape)
        if "model" in kwargs:
            model = kwargs.pop("model")
            check_network(model)
            if self._optimizer is not None and "optimizer" not in kwargs:
                self._optimizer = _rebuild_optimizer(self._optimizer, model.parameters())
            self._model = self._make_model_wrapper(model)
            self._layer_names = model.layer_names
            self._model.eval()
            self._move()
        super().set_params(**kwargs)
        self._set_span()
        if "device_type" in kwargs or "preprocessing" in kwargs:
            self._move()

    def predict(
        self, x: np.ndarray, batch_size: int = 128, training_mode: bool = False, **kwargs: Any
    ) -> np.ndarray:
        """Logits.

        :param x: samples ``(N, *input_shape)``, numpy or torch, as everywhere below.
        :param training_mode: mode of the network during the call.
        :return: logits (N, nb_classes) in the network's dtype (half precision as float32); NaN for
            samples that hold NaN or infinity, with a warning.
        :raises ValueError: for a wrong shape, or when no sample is finite and no attack asks."""
        x, missing = self._finite_rows(x)
        x_preprocessed, _ = self._apply_preprocessing(x, y=None, fit=False)
        with self._mode(training_mode):
            logits = fill(self._logits(x_preprocessed, batch_size), missing, math.nan)
        return self._apply_postprocessing(preds=as_array(logits), fit=False)  # type: ignore[no-any-return]

    @property
    def _predicts_tensors(self) -> bool:
        """True if :meth:`_predict_tensor` gives what :attr:`predict` does, even if replaced."""
        usual = getattr(self.predict, "__func__", None) is PyTorchSpikingClassifier.predict
        return usual and self.all_framework_preprocessing and not self.postprocessing_defences

    def _predict_tensor(self, x: Tensor, batch_size: int) -> Tensor:
        """Logits as of :meth:`predict`, for a tensor on the network's device.

        On CUDA nothing waits for the device, and so there is no warning of samples that are not
        finite."""
        x = x.contiguous()  # As of numpy: convolutions round other layouts otherwise.
        missing: Tensor | None
        if x.is_cuda:
            missing = ~x.isfinite().flatten(1).all(1)
            x = fill(x, missing, 0)
        else:
            x, missing = self._finite_rows(x)
        x, _ = self._apply_preprocessing(x, y=None, fit=False)
        with self._mode(False):
            logits = fill(self._logits(x, batch_size), missing, math.nan)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def compute_loss(  # type: ignore[no-untyped-def]
        self, x, y, reduction: str = "none", batch_size: int = 128, **kwargs: Any
    ):
        """Loss per sample, or reduced, without a graph and in batches.

        Of a tensor that requires a gradient there is a graph, with the attack gradient.

        :param y: labels (N,) or (N, nb_classes): one-hot, or whatever scores the loss can take.
        :param reduction: "none", "mean" or "sum".
        :return: losses (N,) or a scalar, of x's library and device; NaN as in :meth:`predict`.
        :raises ValueError: for bad samples or labels."""
        facts = InputFacts.of(x, y)
        x, missing = self._finite_rows(x, facts)
        y = self._scores(y, x, facts)
        inputs, labels = self._apply_preprocessing(self._to_network(x), y, fit=False, no_grad=False)
        # A copy, since another thread may be computing a loss of its own.
        reduced = copy.copy(self._loss)
        reduced.reduction = reduction
        with self._mode(False):
            if isinstance(x, Tensor) and x.requires_grad:
                logits = self._forward(inputs)
            else:
                logits = self._logits(inputs, batch_size)
            logits = fill(logits, missing, math.nan)
            loss = reduced(logits, self._targets(labels, logits, facts))
        return loss.to(x.device) if isinstance(x, Tensor) else as_array(loss)

    def loss_gradient(  # type: ignore[no-untyped-def]
        self,
        x,
        y,
        training_mode: bool = False,
        gradient: Gradient | str | None = None,
        **kwargs: Any,
    ):
        """Gradient of the loss by the samples, and by nothing else.

        :param y: labels as :meth:`compute_loss` takes them.
        :param gradient: rule for this call alone; None is :attr:`gradient`.
        :return: gradient of x's shape, library and device; 0 for samples that hold NaN or infinity,
            with a warning.
        :raises ValueError: for bad samples or labels, or an unknown rule."""
        facts = InputFacts.of(x, y)
        x, missing = self._finite_rows(x, facts)
        y = self._scores(y, x, facts)
        with self._mode(training_mode, gradient), self.model.fixed(), torch.enable_grad():
            leaf, inputs, labels = self._leaf(x, y)
            logits = self._forward(inputs)
            loss = self._loss(logits, self._targets(labels, logits, facts))
            (grads,) = torch.autograd.grad(loss.sum(), leaf)
        return self._return_as(x, fill(grads, missing, 0))

    def class_gradient(
        self,
        x: Any,
        label: int | list[int] | np.ndarray | None = None,
        training_mode: bool = False,
        gradient: Gradient | str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Gradients of logits by the samples; other parameters as :meth:`loss_gradient`.

        :param label: None for all classes, one class for all samples, or one class per sample.
        :return: ``(N, nb_classes, *input_shape)``, or ``(N, 1, *input_shape)`` when label is given;
            of x's library and device; 0 as :meth:`loss_gradient`.
        :raises ValueError: for bad samples or labels, or an unknown rule."""
        x, missing = self._finite_rows(x)
        refuse_masked("label", label)
        classes = None if label is None else as_array(label)
        if classes is not None:
            classes = np.full(len(x), classes) if classes.ndim == 0 else classes
            check_labels(classes, len(x), self.nb_classes)
            expected = "one class, or one class index per sample"
            remedy = "Turn one-hot labels into indices: label.argmax(1)."
            require(classes.ndim == 1, "label", expected, f"shape {classes.shape}", remedy)
        with self._mode(training_mode, gradient), self.model.fixed(), torch.enable_grad():
            leaf, inputs, _ = self._leaf(x, None)
            logits = self._forward(inputs)
            if classes is None:
                outputs = logits.sum(0).unbind()
            else:
                columns = torch.as_tensor(classes, device=logits.device).long().view(-1, 1)
                outputs = (logits.gather(1, columns).sum(),)
            grads = [
                torch.autograd.grad(output, leaf, retain_graph=i + 1 < len(outputs))[0]
                for i, output in enumerate(outputs)
            ]
        rows = [self._return_as(x, fill(g, missing, 0)) for g in grads]
        return torch.stack(rows, 1) if isinstance(x, Tensor) else np.stack(rows, axis=1)

    def get_activations(  # type: ignore[no-untyped-def]
        self, x, layer: int | str, batch_size: int = 128, framework: bool = False
    ):
        """Time-averaged output of a layer, such as the firing rates of neurons.

        :param layer: name or index in `layer_names`.
        :param framework: return a tensor, with a graph where x requires a gradient.
        :return: activations (N, ...), numpy unless `framework`; a tensor is on the device of x, or
            of the network for an array x.
        :raises ValueError: for an unknown layer or bad samples."""
        x = check_samples(x, self.input_shape)
        names = self._layer_names
        index = isinstance(layer, Integral) and not isinstance(layer, bool)
        name = names[int(layer)] if index and -len(names) <= int(layer) < len(names) else layer
        expected = f"an index below {len(names)} or one of {', '.join(names)}"
        remedy = "The names are in classifier.layer_names."
        require(name in names, "layer", expected, repr(layer), remedy)
        graph = framework and isinstance(x, Tensor) and x.requires_grad
        inputs, _ = self._apply_preprocessing(
            self._to_network(x), y=None, fit=False, no_grad=not graph
        )
        inputs = as_tensor(inputs).to(self.device)
        batches = [inputs] if framework else _batches(inputs, batch_size)
        with self._mode(False), torch.set_grad_enabled(graph):
            kept = torch.cat(self.model.averages(str(name), batches))
        if not framework:
            return as_array(kept)
        return kept.to(x.device) if isinstance(x, Tensor) else kept

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = 128,
        nb_epochs: int = 10,
        training_mode: bool = True,
        drop_last: bool = False,
        scheduler: Any = None,
        verbose: bool = False,
        **kwargs: Any,
    ) -> None:
        """Train the weights with the training gradient; parameters as in PyTorchClassifier.fit.

        :raises ValueError: for bad or no samples, bad labels, or a missing optimizer."""
        x = check_samples(x, self.input_shape)
        check_labels(y, len(x), self.nb_classes)
        self._check_trainable(len(x))
        batch_size = require_count("batch_size", batch_size, remedy="ART's default is 128.")
        options = {"drop_last": drop_last, "scheduler": scheduler, "verbose": verbose} | kwargs
        with self._mode(training_mode):
            super().fit(x, as_array(y), batch_size, nb_epochs, training_mode, **options)

    def fit_generator(
        self, generator: DataGenerator, nb_epochs: int = 20, verbose: bool = False, **kwargs: Any
    ) -> None:
        """Train on the batches (x, y) of an ART data generator, with the options of :meth:`fit`.

        :raises ValueError: for anything that is no data generator, and as in :meth:`fit`."""
        expected, got = "an art.data_generators.DataGenerator", type(generator).__name__
        remedy = "Wrap a torch DataLoader in art.data_generators.PyTorchDataGenerator."
        require(isinstance(generator, DataGenerator), "generator", expected, got, remedy)
        scheduler = kwargs.pop("scheduler", None)
        for _ in progress_over(range(nb_epochs), "Training", unit="epochs", verbose=verbose):
            for x, y in _one_pass(generator):
                self.fit(x, y, batch_size=len(x), nb_epochs=1, **kwargs)
            if scheduler is not None:
                scheduler.step()

    def clone_for_refitting(self) -> "PyTorchSpikingClassifier":
        """A classifier of the same architecture, rules, optimizer type and device; new weights.

        :raises ValueError: without an optimizer."""
        self._check_trainable(1)
        model = copy.deepcopy(self.model)
        # A copy made inside `using` would take that rule for its own.
        model.gradient = self.model.gradient
        model.training_gradient = self.model.training_gradient
        # Parameter groups may differ in learning rate or decay: rebuild each with its own.
        twins = dict(zip(self.model.parameters(), model.parameters(), strict=True))
        groups = [
            {**group, "params": [twins[p] for p in group["params"] if p in twins]}
            for group in self._optimizer.param_groups
        ]
        optimizer = _rebuild_optimizer(self._optimizer, groups)
        params = self.get_params()
        for name in ("model", "optimizer", "loss", "input_shape", "nb_classes", "device_type"):
            del params[name]
        given = (model, self._loss, self.input_shape, self.nb_classes, optimizer)
        clone = type(self)(*given, device_type=self._device_type)
        clone.reset()
        clone.set_params(**params)
        return clone

    def reset(self) -> None:
        """Draw all weights again, by the network's `initialise` where it has one."""
        self.model.reset()

    def __eq__(self, other: object) -> bool:
        """True if the other classifier wraps the same layers, with any rule.

        AdversarialTrainer crafts for every batch only when its attack's classifier equals its own;
        attacks that wrap the network again must be equal."""
        if not isinstance(other, PyTorchClassifier):
            return False
        return getattr(other.model, "layers", other.model) is self.model.layers

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        parameters = (f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({', '.join(parameters)})"

    def __getstate__(self) -> dict[str, Any]:
        """Network and optimizer on the CPU, so that any machine can restore them."""
        state = self.__dict__.copy()
        del state["_model_wrapper"], state["_device"]
        state["_model"] = self.model
        if self.device.type != "cpu":
            # Together, so that the optimizer's copy holds the parameters of the network's copy.
            state = copy.deepcopy(state)
            names = ("_model", "_optimizer", "_loss", "preprocessing_operations")
            move_together(torch.device("cpu"), *(state[name] for name in names))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._model = self._make_model_wrapper(state["_model"])
        self._move()

    def _move(self) -> None:
        """Put all that has a device on the one that `device_type` names."""
        self._device = torch.device("cpu")
        if self._device_type != "cpu" and torch.cuda.is_available():
            with use_card_of(self.model):
                self._device = torch.device("cuda", torch.cuda.current_device())
        operations = self.preprocessing_operations
        move_together(self._device, self._model, self._optimizer, self._loss, operations)

    def _set_span(self) -> None:
        """Set the width of the network's input range, which some rules measure by."""
        if self.clip_values is not None:
            low, high = self.clip_values
            self.model.input_span = float(np.max(np.subtract(high, low)))

    @contextmanager
    def _mode(self, training: bool, gradient: Gradient | str | None = None) -> Iterator[None]:
        rule = nullcontext() if gradient is None else self.model.using(gradient)
        with rule, modes_kept(self._model, training):
            yield

    def _finite_rows(self, x: Any, facts: InputFacts | None = None) -> tuple[Any, Tensor | None]:
        """As :func:`with_finite_rows`, with a warning for samples that are not finite."""
        x, missing = with_finite_rows(x, self.input_shape, None if facts is None else facts.missing)
        if missing is not None and not self._warned:
            self._warned = True
            text = "some samples hold NaN or infinity: their logits and losses are NaN, their "
            text += "gradients 0. This warning comes once per classifier."
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        return x, missing

    @property
    def _unprocessed(self) -> bool:
        """True if preprocessing is ART's default, which changes nothing."""
        return bool(self.all_framework_preprocessing) and lacks_preprocessing(self)

    def _apply_preprocessing(  # type: ignore[no-untyped-def]
        self, x, y, fit: bool = False, no_grad: bool = True
    ):
        """As in PyTorchClassifier; ART's default, which copies twice to the device, copies none."""
        kept = str(x.dtype).removeprefix("torch.") in ("float32", "float64")  # By ART's default.
        if not (kept and self._unprocessed):
            return super()._apply_preprocessing(x, y, fit=fit, no_grad=no_grad)
        if not isinstance(x, Tensor):
            return x.copy(), y
        with torch.set_grad_enabled(torch.is_grad_enabled() and not no_grad):
            return x.clone(), y

    def _forward(self, inputs: Tensor) -> Tensor:
        """Logits of the network, which must be as many as there are classes."""
        logits: Tensor = self.model(inputs)
        if logits.ndim != 2 or logits.shape[1] != self.nb_classes:
            expected = f"logits of shape [N, {self.nb_classes}], as nb_classes says"
            remedy = "End the network with TimeDistributed(nn.Flatten(), nn.Linear(..., K))."
            raise invalid("model", expected, list(logits.shape), remedy)
        return logits

    @torch.no_grad()
    def _logits(self, x: Any, batch_size: int) -> Tensor:
        batches = _batches(as_tensor(x), batch_size)
        return torch.cat([self._forward(batch.to(self.device)) for batch in batches])

    def _leaf(self, x: Any, y: Any) -> tuple[Tensor, Tensor, Any]:
        """(leaf that requires a gradient, network input, labels) of samples and labels."""
        x = self._to_network(x)
        numpy_defences = not self.all_framework_preprocessing
        if numpy_defences:
            x, y = self._apply_preprocessing(x, y=y, fit=False, no_grad=True)
        samples = as_tensor(x).detach()
        # Small gradients must not underflow. A copy, since the user may write to the array later.
        dtype = torch.promote_types(samples.dtype, self.model.dtype or torch.get_default_dtype())
        leaf = samples.to(self.device, dtype, copy=True).requires_grad_(True)
        if numpy_defences:
            return leaf, leaf, y
        labels = None if y is None else torch.as_tensor(y, device=self.device)
        inputs, labels = self._apply_preprocessing(leaf, y=labels, fit=False, no_grad=False)
        return leaf, inputs, labels

    def _scores(self, y: Any, x: Any, facts: InputFacts | None = None) -> Any:
        """Labels as one row of scores per sample, in the library that x is of."""
        check_labels(y, len(x), self.nb_classes, facts)
        rows = y if isinstance(y, Tensor) and y.ndim == 2 and y.shape[1] > 1 else as_array(y)
        rows = check_and_transform_label_format(rows, self.nb_classes)
        tensor = isinstance(x, Tensor)
        return torch.as_tensor(rows, device=self.device) if tensor else as_array(rows)

    def _to_network(self, x: Any) -> Any:
        """Samples as preprocessing takes them: a tensor on the network's device.

        :raises ValueError: for a tensor where preprocessing works on numpy."""
        if not isinstance(x, Tensor):
            return x
        expected = "a numpy array, because a preprocessing defence works on numpy"
        remedy = "Use the PyTorch version of the defence, or x.cpu().numpy()."
        require(self.all_framework_preprocessing, "x", expected, "a torch tensor", remedy)
        return x.to(self.device)

    def _targets(self, labels: Any, logits: Tensor, facts: InputFacts | None = None) -> Tensor:
        """Labels as the loss takes them, on the device of the logits."""
        whole = facts is not None and facts.whole and self._unprocessed
        if whole and self._reduce_labels and self._int_labels and self.nb_classes > 1:
            # What ART does, which reads the labels once more for it.
            return torch.as_tensor(labels, device=logits.device).argmax(1)
        targets = torch.as_tensor(self.reduce_labels(labels), device=logits.device)
        return targets.to(logits.dtype) if targets.is_floating_point() else targets

    def _return_as(self, x: Any, grads: Tensor) -> Any:
        if isinstance(x, Tensor):
            return grads.to(x.device)
        if self.all_framework_preprocessing:
            return as_array(grads)
        return self._apply_preprocessing_gradient(x, as_array(grads))

    def _check_trainable(self, samples: int) -> None:
        expected = "an optimizer of the network's parameters"
        remedy = "Pass optimizer=torch.optim.SGD(network.parameters(), lr=0.1)."
        require(self._optimizer is not None, "optimizer", expected, "None", remedy)
        require(samples, "x", "at least one sample to train on", "none", "Check the training set.")


def _rebuild_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Iterable[Any]
) -> torch.optim.Optimizer:
    """An optimizer of its class and defaults for other parameters, or groups of them."""
    # Some optimizers have defaults that their constructor does not take.
    accepted = inspect.signature(type(optimizer)).parameters
    defaults = {name: value for name, value in optimizer.defaults.items() if name in accepted}
    return type(optimizer)(parameters, **defaults)


def _batches(x: Tensor, size: int) -> Sequence[Tensor]:
    """At least one batch, which is empty where x is."""
    count = require_count("batch_size", size, remedy="ART's default is 128.")
    return torch.split(x, count) if len(x) else [x]


def _one_pass(generator: DataGenerator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The generator's own pass where it has one, otherwise as many full batches as ART takes."""
    if isinstance(generator, PyTorchDataGenerator):
        for x, y in generator.iterator:
            yield np.asarray(x), np.asarray(y)
    elif isinstance(generator, Iterable):
        yield from generator
    else:
        for _ in range(max(1, generator.size // generator.batch_size)):
            yield generator.get_batch()
