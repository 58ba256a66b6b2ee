"""Rate-current curves of the study's networks: recorded pairs, static curve, RGA's polyline.

python examples/study/curves.py --data eurosat32_10k.npz --output study/eurosat
"""

from art_snn.app.curves import Curves, Settings, recorded
from art_snn.app.curves.figure import draw
from setting import parse


def main() -> None:
    study = parse("Rate-current curves of the study's networks.")
    settings = Settings()
    recordings = []
    for decay in study.decays:
        network = study.network(decay, "plain").model
        trained = study.trained(decay, "plain").on(study.data)
        notes = trained.as_dict(seed=0) | {"epochs": study.epochs}
        title = trained.words(study.data)
        recordings.append(recorded(settings, network, study.data, title, notes))
    result = Curves(settings.as_dict(), settings.rule, recordings)
    result.write(study.output, draw(result))
    print(result.render())


if __name__ == "__main__":
    main()
