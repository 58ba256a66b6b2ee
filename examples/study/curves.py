"""Rate-current curves of the study's networks: recorded pairs, static curve, RGA's polyline.

python examples/study/curves.py --data eurosat32_10k.npz --output study/eurosat
"""

from setting import parse

from art_snn import actual
from art_snn.evaluation.deviations import table
from art_snn.evaluation.recording import Settings


def main() -> None:
    study = parse("Rate-current curves of the study's networks.")
    for decay in study.decays:
        study.network(decay, "plain")
    recordings = actual.run(
        Settings(),
        [study.fitting(decay, "plain").subject for decay in study.decays],
        study.data,
        study.output / "curves",
        [study.folder(decay, "plain") / "network.pt" for decay in study.decays],
        study.device,
    )
    print("\n\n".join(table(recording.panel) for recording in recordings))


if __name__ == "__main__":
    main()
