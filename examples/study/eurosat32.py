"""Make data/eurosat32_10k.npz, the file of satellite images that results and study use.

    python examples/study/eurosat32.py --download

8,000 training and 2,000 test images of EuroSAT (Helber et al. 2019) at 32x32 pixels, each class in
proportion, drawn by seed 0 from torchvision's 27,000. With --small pictures of noise stand in for
EuroSAT, and nothing is fetched.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from setting import subset

from art_snn.data import images
from art_snn.files import write_arrays


def write(root: Path, output: Path, train: int, test: int, download: bool = False) -> None:
    """Write images [N, H, W, C] uint8 and classes [N], as from_npz reads them."""
    data = subset(images("eurosat", root, download=download, image_size=32), train, test)
    x_train, x_test = (
        np.rint(255 * x).astype(np.uint8).transpose(0, 2, 3, 1) for x in (data.x_train, data.x_test)
    )
    write_arrays(output, x_train=x_train, y_train=data.y_train, x_test=x_test, y_test=data.y_test)
    print(f"{output}: {len(x_train)} + {len(x_test)} images of {data.classes} classes")


def noise(root: Path) -> None:
    """Pictures where torchvision looks for those of EuroSAT."""
    random = np.random.default_rng(0)
    for label in range(10):
        folder = root / "eurosat" / "2750" / f"class {label}"
        folder.mkdir(parents=True)
        for i in range(5):
            pixels = random.integers(256, size=(64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make data/eurosat32_10k.npz.")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("data/eurosat32_10k.npz"))
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    if not chosen.small:
        write(chosen.root, chosen.output, 8000, 2000, chosen.download)
        return
    with tempfile.TemporaryDirectory() as folder:
        noise(Path(folder))
        write(Path(folder), Path(folder) / "eurosat32.npz", 20, 10)


if __name__ == "__main__":
    main()
