"""Attack success of RGA over beta and gamma, on the study's networks.

    python examples/study/hyperparameters.py --data eurosat32_10k.npz --output study/eurosat

The decays of each panel are those of Bu et al. (CVPR 2023). A run that was interrupted goes on
after its last value.
"""

from setting import Study, parse

from art_snn.evaluation import sweep
from art_snn.evaluation.panel import Panel, markdown, table
from art_snn.sweeping import Plan, draw, paper


def swept(study: Study, plan: Plan) -> Panel:
    """One field over its values on the plain network of every decay."""
    lines = {}
    for decay in plan.decays:
        name = f"decay {decay:g}"
        subject = study.fitting(decay, "plain").subject.on(study.data)
        title = f"{subject.words()} on {study.data.name}"
        x, y = study.data.x_test, study.data.y_test
        file = study.output / "sweep.json"
        classifier = study.network(decay, "plain")
        lines[name] = sweep.run(plan.sweep, classifier, x, y, file, name, title)
    return Panel(str(plan.sweep.base), plan.sweep.field, str(plan.sweep.attack), lines)


def main() -> None:
    study = parse("Attack success of RGA over beta and gamma.")
    plans = paper(attack=study.attack("pgd"), samples=study.samples, batch_size=50)
    panels = [swept(study, plan) for plan in plans]
    (study.output / "sweep.md").write_text(markdown(panels))
    draw(panels).savefig(study.output / "sweep.png", dpi=110)
    print(table(panels))


if __name__ == "__main__":
    main()
