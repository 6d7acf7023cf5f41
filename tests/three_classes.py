"""A study whose outcomes have three classes: scikit-learn's wines as a table, its digits as images."""

import numpy as np
import yaml
from sklearn.datasets import load_digits, load_wine

SITES = {"north": {}, "south": {}}
CULTIVARS = ("class_0", "class_1", "class_2")
DIGITS = 3


def write(folder, **changes):
    """Write the data, and the study to config/; gives the study's file."""
    data = folder / "data"
    data.mkdir(parents=True)
    inputs = _wine(data / "wine.csv")
    _digits(data / "digits.npz")
    training = {"rounds": 6, "batch_size": 16, "learning_rates": [0.01]}
    columns = {"patient": "bottle", "label": "cultivar", "classes": list(CULTIVARS), "numeric": inputs}
    wine = {
        "data": {"source": "table", "path": "wine.csv", "columns": columns},
        "sites": list(SITES), "model": {"name": "mlp", "hidden": [8, 4]}, "cut": "layer1",
        "split": {"test": 0.4}, "training": training, "margin": 0.1,
    }  # fmt: skip
    classes = {"patient": "image", "label": "label", "classes": [str(each) for each in range(DIGITS)]}
    digits = {
        "data": {"source": "medmnist", "path": "digits.npz", "columns": classes, "pixels": 16},
        "sites": list(SITES), "model": {"name": "cnn", "channels": [4, 8]}, "cut": "conv1",
        "training": training,
    }  # fmt: skip
    study = {
        "name": "classes", "data_root": str(data), "allow_pooling": True, "release": "predictions",
        "bootstrap": 200, "runtime": "host", "sites": {name: {"name": name} for name in SITES},
        "tasks": {"wine": wine, "digits": digits},
        "strategies": {
            "centralized": {"batches": "by_site"}, "split": {"tasks": ["wine"]},
            "split_u": {"tasks": ["digits"]}, "fedavg": {"tasks": ["wine"]},
        },
    }  # fmt: skip
    path = folder / "config" / "classes.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.dump({**study, **changes}, Dumper=_Plain))
    return path


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def _wine(path):
    found = load_wine(as_frame=True)
    inputs = found.data.rename(columns=lambda name: name.replace("/", "_"))
    table = inputs.assign(bottle=[f"b{i:03}" for i in range(len(inputs))])
    table.assign(cultivar=np.array(CULTIVARS)[found.target]).to_csv(path, index=False)
    return list(inputs)


def _digits(path):
    found = load_digits(n_class=DIGITS)
    images = (found.images * 15.9375).astype(np.uint8)[:150]
    labels = found.target[:150, None].astype(np.uint8)
    parts = {"train": slice(0, 90), "val": slice(90, 100), "test": slice(100, 150)}
    np.savez(
        path,
        **{f"{name}_images": images[rows] for name, rows in parts.items()},
        **{f"{name}_labels": labels[rows] for name, rows in parts.items()},
    )
