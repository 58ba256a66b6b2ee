"""How every script here ends: PGD on held-out digits, with the model's gradient and with RGA."""

from art.attacks.evasion import ProjectedGradientDescent

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits


def report(classifier: PyTorchSpikingClassifier, small: bool) -> None:
    data = digits()
    x, y = (part[: 16 if small else None] for part in (data.x_test, data.y_test))
    print(f"clean accuracy {(classifier.predict(x).argmax(1) == y).mean():.3f}")
    for gradient in ("native", "rga"):
        classifier.set_params(gradient=gradient)
        attack = ProjectedGradientDescent(classifier, eps=0.15, eps_step=0.04, max_iter=10)
        accuracy = (classifier.predict(attack.generate(x, y)).argmax(1) == y).mean()
        print(f"under PGD by {gradient}: {accuracy:.3f}")
