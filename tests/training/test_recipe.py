"""The published recipe: its defaults, its optimizer and its augmentation."""

from dataclasses import asdict, replace

import pytest
import torch

from art_snn.training import Recipe

STILL = {"crop_padding": 0, "flip": False, "turn": False, "cutout": 0}


def seen(recipe: Recipe, samples: torch.Tensor, seed: int = 0) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.augment(samples)


def test_the_defaults_are_table_s1():
    lengths = {"epochs": 200, "batch_size": 64, "seed": 0, "train_dtype": None}
    steps = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    table = lengths | steps | {"crop_padding": 4, "flip": True, "turn": False, "cutout": 16}
    assert asdict(Recipe().fit_to((3, 32, 32), mirrored=True)) == table


def test_what_is_left_open_of_the_optimizer_is_what_is_usual_for_it():
    sgd, adam = Recipe(), Recipe(optimizer="adam")
    assert (sgd.learning_rate, sgd.momentum, sgd.weight_decay) == (0.1, 0.9, 5e-4)
    assert (adam.learning_rate, adam.momentum, adam.weight_decay) == (0.01, None, 0.0)
    settled = Recipe(optimizer="adam", learning_rate=0.02, weight_decay=1e-4)
    assert (settled.learning_rate, settled.weight_decay) == (0.02, 1e-4)
    changed = replace(Recipe(momentum=0.0, weight_decay=0), epochs=3)
    assert changed == Recipe(epochs=3, momentum=0.0, weight_decay=0.0)
    for momentum in (0.9, 0.0):
        with pytest.raises(ValueError, match=rf"^momentum: .*adam.*{momentum}"):
            Recipe(optimizer="adam", momentum=momentum)


def test_a_short_training_is_by_adam_and_leaves_the_samples_alone():
    short = {"optimizer": "adam", "learning_rate": 0.01, "momentum": None, "weight_decay": 0.0}
    usual = {"epochs": 10, "batch_size": 64, "seed": 0, "train_dtype": None}
    assert asdict(Recipe.short()) == short | STILL | usual
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(Recipe.short().augment(x), x)
    other = Recipe.short(3, 7, batch_size=16, optimizer="sgd", cutout=2)
    holed = STILL | {"cutout": 2}
    assert other == Recipe(epochs=3, seed=7, batch_size=16, optimizer="sgd", **holed)


@pytest.mark.parametrize(
    ("name", "kind", "numbers"),
    [("adam", torch.optim.Adam, {}), ("sgd", torch.optim.SGD, {"momentum": 0.8})],
)
def test_the_optimizer_has_the_recipe_s_numbers(name, kind, numbers):
    recipe = Recipe(optimizer=name, learning_rate=0.2, weight_decay=1e-3, **numbers)
    optimizer = recipe.build_optimizer([torch.zeros(2, requires_grad=True)])
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    expected = numbers | {"lr": 0.2, "weight_decay": 1e-3}
    assert {key: group[key] for key in expected} == expected


@pytest.mark.parametrize("shape", [(64, 3, 32, 32), (64, 5, 2, 32, 32)])
def test_cutout_is_one_square_hole_of_zeros_through_all_frames_and_channels(shape):
    holed = seen(Recipe(**STILL | {"cutout": 16}), torch.ones(shape))
    corners = set()
    for sample in holed:
        flat = sample.flatten(0, -3)
        assert torch.equal(flat, flat[:1].expand_as(flat))
        rows, columns = (flat[0] == 0).nonzero(as_tuple=True)
        assert len(rows) == 16 * 16
        assert (rows.max() - rows.min(), columns.max() - columns.min()) == (15, 15)
        corners.add((int(rows.min()), int(columns.min())))
    assert len(corners) > 40


def test_turned_images_from_above_are_all_eight_that_a_square_has():
    image = torch.rand(1, 2, 8, 8)
    turned = seen(Recipe(**STILL | {"flip": True, "turn": True}), image.expand(200, -1, -1, -1))
    quarters = [torch.rot90(image[0], k, (1, 2)) for k in range(4)]
    every = [one.flip(side) for one in quarters for side in ((), (2,))]
    found = {
        next(i for i, one in enumerate(every) if torch.equal(one, sample)) for sample in turned
    }
    assert found == set(range(8))


def test_every_sample_has_a_draw_of_its_own_and_a_seed_repeats_them_all():
    x = torch.rand(1, 3, 32, 32).expand(16, -1, -1, -1)
    recipe = Recipe().fit_to((3, 32, 32), mirrored=True)
    once = seen(recipe, x)
    assert torch.equal(once, seen(recipe, x))
    assert not torch.equal(once, seen(recipe, x, seed=1))
    assert len({sample.numpy().tobytes() for sample in once}) == 16


@pytest.mark.parametrize(
    ("size", "padding", "hole"),
    [((32, 32), 4, 16), ((48, 48), 6, 24), ((28, 32), 4, 14), ((16, 16), 2, 8), ((15, 40), 0, 0)],
)
def test_padding_and_hole_keep_their_share_of_an_image_that_is_not_small(size, padding, hole):
    for shape in ((3, *size), (10, 2, *size)):
        fitted = Recipe(epochs=3).fit_to(shape)
        assert fitted == Recipe(epochs=3, crop_padding=padding, flip=False, cutout=hole)
        assert fitted.fit_to((3, 64, 64)) == fitted, "what is fitted is no longer open"


def test_what_is_given_of_the_augmentation_is_not_fitted_and_only_images_are_augmented():
    recipe = Recipe(crop_padding=3, cutout=0)
    assert recipe.fit_to((1, 8, 8), mirrored=True) == replace(recipe, flip=True)
    assert recipe.fit_to((1, 8, 8)) == replace(recipe, flip=False)
    assert replace(recipe, flip=True).fit_to((1, 8, 8)).flip is True
    assert Recipe(cutout=16).fit_to((1, 8, 8)).cutout == 16
    assert Recipe().fit_to((64,)) == Recipe(**STILL)
    assert Recipe(flip=True).fit_to((64,), mirrored=True) == Recipe(**STILL | {"flip": True})


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("optimizer", "adagrad", "one of"),
        *(("learning_rate", value, "above 0") for value in (0, -1.0)),
        ("momentum", -0.1, "at least 0"),
        *(("momentum", value, "below 1") for value in (1.5, 1)),
        *(("weight_decay", value, "at least 0") for value in (float("inf"), -1)),
        ("flip", "no", "True or False"),
        *(("crop_padding", value, ">= 0") for value in (-1, 1.5)),
        ("cutout", True, ">= 0"),
        *(("epochs", value, ">= 1") for value in (0, 1.5)),
        ("batch_size", 0, ">= 1"),
        ("seed", -1, ">= 0"),
    ],
)
def test_settings_outside_their_range_are_refused(name, value, word):
    with pytest.raises(ValueError, match=rf"^{name}: .*{word}.*got {value!r}"):
        Recipe(**{name: value})


@pytest.mark.parametrize(
    ("recipe", "shape", "message"),
    [
        (Recipe(cutout=8), (1, 8, 20), r"^cutout: .*smaller than the images of 8x20"),
        (Recipe(crop_padding=1), (64,), r"^x: .*cropped"),
        (Recipe(flip=True), (64,), r"^x: .*flipped"),
    ],
)
def test_samples_that_do_not_suit_the_augmentation_are_refused(recipe, shape, message):
    with pytest.raises(ValueError, match=message):
        recipe.check_samples(shape)
    Recipe(cutout=7).check_samples((1, 8, 20))
    Recipe(**STILL).check_samples((64,))
    Recipe.short().check_samples((64,))
