"""Try to break bounds of random networks, some altered, some not followed by boxes.

python -m tests.bounds.soundness --minutes 10

Minutes are those of one core. Four fifths go to counterexamples planted in random chains, a tenth
to points in chains with synapses, which --synapses tries alone. With --networks, networks of the
zoo take their place. Ends with status 1 where a certificate is broken, a network that has bounds is
refused, or a planted point is lost."""

import argparse
import random
import sys
import time
import warnings
from collections import Counter, defaultdict
from itertools import repeat

import numpy as np
import torch

from art_snn import zoo
from art_snn.bounds import METHODS
from tests.bounds import altered, planted
from tests.bounds.forms import FORMS, insert
from tests.bounds.random_networks import ITERATES, Drawn, check, drawn

PLANTED = {"planted": planted.attempt, "synapses": planted.attempt_synapses}
"""Attempts to lose planted points: a seed -> checks, and values that are ruled out."""


def attempt(seed: int) -> tuple[str, str, int]:
    """The kind of the network of that seed, how it fared, and how many samples are certified."""
    draw = random.Random(seed)
    case = drawn(seed, draw.choice([np.inf, 2]), samples=draw.choice([1, 3, 8]))
    form = draw.choice([None, draw.choice(FORMS)])
    kind = "plain" if form is None else form.partition(":")[0]
    if form is not None:
        insert(case.network, form, draw.randrange(1, len(case.network.layers)))
    try:
        case.bounds()
    except ValueError as error:
        wrong = kind in ("plain", "called")
        if wrong:
            sys.stderr.write(f"seed {seed}, {form}: {error}\n")
        return kind, "wrongly refused" if wrong else "refused", 0
    try:
        return kind, "sound", int(check(case, 20, ("stbp",)).sum())
    except (AssertionError, ValueError) as error:
        sys.stderr.write(f"seed {seed}, {form}: {error}\n")
        return kind, "broken", 0


def attempt_altered(seed: int) -> Counter[str]:
    """How the methods fared on the network of that seed, which something alters."""
    fates = altered.attempt(seed)
    wrong = [method for method in fates if method != "altered" and altered.is_wrong(fates, method)]
    for method in wrong:
        sys.stderr.write(f"seed {seed}, {fates['altered']}, {method}: {fates[method]}\n")
    words = [fate.partition(":")[0] for method, fate in fates.items() if method not in wrong]
    return Counter(broken=len(wrong), held=words.count("held"), refused=words.count("refused"))


def check_planted(name: str, seed: int, end: float) -> int:
    """How many chains lost a planted point, until a time."""
    checks, removed, lost, first = 0, 0, 0, seed
    while time.process_time() < end:
        try:
            counts = PLANTED[name](seed)
            checks, removed = checks + counts[0], removed + counts[1]
        except AssertionError as error:
            sys.stderr.write(f"seed {seed}: {error}\n")
            lost += 1
        seed += 1
    words = f"{checks} checks, {removed} values ruled out, {lost} lost a point"
    sys.stdout.write(f"{name}: {seed - first} chains, {words}\n")
    return lost


def check_zoo(name: str, seed: int, end: float) -> int:
    """1 where a point breaks the bounds of a network of the zoo, until a time."""
    network, points = zoo.load_network(name), 12
    samples, _ = zoo.samples(zoo.entry(name).data)
    draw, checks, certified = random.Random(seed), 0, 0
    while time.process_time() < end:
        x = torch.as_tensor(samples[draw.sample(range(len(samples)), 25)])
        case = Drawn(network, x, draw.choice([1, 2, 4, 8]) / 255, np.inf, name)
        try:
            certified += int(check(case, points, ("stbp", "rga"), draw.randrange(2**31)).sum())
        except AssertionError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        checks += (points + 2 * ITERATES) * len(x) * zoo.entry(name).classes * len(METHODS)
    sys.stdout.write(f"{name}: {checks} checks, {certified} certified samples, none broken\n")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--synapses", action="store_true")
    parser.add_argument("--networks", nargs="+", help="of the zoo, that have bounds")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    end = time.process_time() + 60 * options.minutes
    if options.networks:
        ends = np.linspace(time.process_time(), end, len(options.networks) + 1)[1:]
        return max(map(check_zoo, options.networks, repeat(options.seed), ends))
    if options.synapses:
        return 1 if check_planted("synapses", options.seed, end) else 0
    lost = check_planted("planted", options.seed, end - 12 * options.minutes)
    lost += check_planted("synapses", options.seed, end - 6 * options.minutes)
    seed = options.seed
    fates: defaultdict[str, Counter[str]] = defaultdict(Counter)
    while time.process_time() < end:
        kind, fate, certified = attempt(seed)
        fates[kind].update({fate: 1, "certified samples": certified})
        fates["altered"].update(attempt_altered(seed))
        seed += 1
    for kind, counts in sorted(fates.items()):
        words = ", ".join(f"{count} {fate}" for fate, count in counts.items())
        sys.stdout.write(f"{kind}: {words}\n")
    wrong = sum(counts["broken"] + counts["wrongly refused"] for counts in fates.values())
    sys.stdout.write(f"{seed - options.seed} networks, {wrong} wrong\n")
    return 1 if wrong or lost else 0


if __name__ == "__main__":
    sys.exit(main())
