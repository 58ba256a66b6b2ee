"""Train a network, plainly or adversarially, and say how good it is."""

from dataclasses import asdict
from typing import Any

from art_snn import checkpoint
from art_snn.app.train.figure import draw
from art_snn.app.train.result import Fitted
from art_snn.app.train.settings import Settings
from art_snn.app.trained import describe_training
from art_snn.checks import require
from art_snn.classifier import wrapped
from art_snn.data import Dataset
from art_snn.metrics import Share
from art_snn.precision import compute_dtype
from art_snn.seeding import seeded
from art_snn.team import ALONE, Team
from art_snn.training import Validation, train


def run(settings: Settings) -> Fitted | None:
    """Train; write network.safetensors, training.json, training.md and training.png.

    An interrupted run goes on after its last whole epoch, from training.pt, which is kept: a
    finished run is loaded from it. Of several processes all but the leading one give None."""
    with settings.at_work() as team:
        result = fitted(settings, team.leader_first(settings.source.load), team)
    return result if team.leads else None


def fitted(settings: Settings, data: Dataset, team: Team = ALONE) -> Fitted:
    """Train on any data, as :func:`run` does.

    :param settings: of which the source is not read.
    :param data: its training samples are split into training and validation samples.
    :param team: processes that train together, of which the leading one writes.
    :raises ValueError: as :func:`run`, and when rule or defence of the adversary do not suit the
        network or the recipe, or the data have no value range."""
    architecture, output = settings.architecture.on(data), settings.output
    recipe = settings.recipe.fit_to(data.input_shape, data.mirrored)
    adversary = settings.adversary(data)
    recipe.check_samples(data.input_shape)
    if adversary is not None:
        recipe = adversary.defence.fit_recipe(recipe)
    split = data.held_out(settings.validation, recipe.seed, "validation")
    network = architecture.build(data, recipe.seed)
    if adversary is not None:
        adversary.check(network)
        adversary.defence.check(network)
    limits = data.value_range
    classifier = wrapped(network, data.input_shape, data.classes, limits, settings.device)
    # A network of art-snn compare, or one without its state, would be written over.
    state = output / "training.pt"
    foreign = (output / "network.safetensors").exists() and not state.exists()
    expected = "a folder without a network, or with the whole of this run"
    got = f"{output} with a network.safetensors and no training.pt"
    remedy = "Choose another folder, or delete network.safetensors."
    require(not foreign, "output", expected, got, remedy)
    with seeded(recipe.seed):
        classifier.predict(data.x_test[:1])  # Complains before the training, if anything does.
    x, y, held = split.x_train, split.y_train, Validation(split.x_test, split.y_test)
    history = train(
        network, x, y, recipe, resume=state, validation=held, adversary=adversary, team=team
    )
    predictions = classifier.predict(data.x_test, recipe.batch_size).argmax(1)
    correct = Share(int((predictions == data.y_test).sum()), len(data.y_test))
    subject = describe_training(architecture, recipe.epochs, recipe.seed, recipe.train_dtype)
    notes: dict[str, Any] = {"subject": subject, "data": data.name, "recipe": asdict(recipe)}
    notes |= {"adversary": repr(adversary) if adversary else "", "validation": settings.validation}
    title, against = f"{architecture.words(network)} on {data.name}", ""
    if adversary is not None:
        against, defence = adversary.describe(), adversary.defence.describe()
        title += f", hardened by {defence}" if defence else ""
    _, precision = compute_dtype(recipe.train_dtype, classifier.device)
    title += f", trained in {precision}" if precision else ""
    result = Fitted(tuple(history), correct, title, against, recipe, notes)
    if team.leads:
        checkpoint.save(
            network, output / "network.safetensors", **notes, test_accuracy=correct.value
        )
        result.write(output, draw(result))
    return result
