"""Attack success of RGA over beta and gamma, on the study's networks.

    python examples/study/hyperparameters.py --data eurosat32_10k.npz --output study/eurosat

The decays of each panel are those of Bu et al. (CVPR 2023). A run that was interrupted goes on
after its last value.
"""

from art_snn.app.sweep import Panel, Sweeps, Swept, paper, swept
from art_snn.app.sweep.figure import draw
from art_snn.app.sweep.result import Content
from setting import Study, parse

from art_snn.app.resume import read_result


def panel(study: Study, plan: Sweeps) -> Panel:
    """One field over its values on the plain network of every decay."""
    lines = {}
    for decay in plan.decays:
        name, title = f"decay {decay:g}", study.trained(decay, "plain").words(study.data)
        x, y = study.data.x_test, study.data.y_test
        classifier, file = study.network(decay, "plain"), study.output / "sweep.json"
        lines[name] = swept(plan.sweep, classifier, x, y, file, name, title)
    return Panel(str(plan.sweep.base), plan.sweep.field, str(plan.sweep.attack), lines)


def main() -> None:
    study = parse("Attack success of RGA over beta and gamma.")
    plans = paper(attack=study.attack("pgd"), samples=study.samples, batch_size=50)
    panels = [panel(study, plan) for plan in plans]
    content = read_result(study.output / "sweep.json", Content)
    result = Swept(panels, content)
    result.write(study.output, draw(result))
    print(result.render())


if __name__ == "__main__":
    main()
