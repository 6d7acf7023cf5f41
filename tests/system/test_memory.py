"""A site whose data is ten times larger than the memory it may take trains all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coordinator.specs import PREPARED_FORMAT
from sites import prepared
from sites.arrays import growing
from sites.prepared import Count, ImageShape, Prepared, Summary

ROOT = Path(__file__).resolve().parents[2]
SHAPE, RECORDS = (12, 24, 24), 96_000  # many channels: what a convolution holds grows with the pixels
BUDGET = 64 * 1024 * 1024  # bytes beside the program itself
# what a site does between its prepared folder and its trained model, once it may take no more memory
PROGRAM = """
import json, resource, sys
from pathlib import Path
import torch
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.driver import algorithm
from coordinator.specs import Run
from coordinator.schedule import schedule
from coordinator.statistics import merge
from sites.aggregates import aggregate
from sites.training import records_of, site_data
import coordinator.models.imaging, pandas, pyarrow.parquet

torch.set_num_threads(1)
folder, budget = Path(sys.argv[1]), int(sys.argv[2])
# the program's own threads and kernels, whatever the data: what they take is not of the data
torch.nn.Conv2d(1, 1, 3)(torch.zeros(1, 1, 8, 8)).sum().backward()
pandas.read_parquet(folder / "records.parquet", columns=["label"])
held = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held + budget, held + budget))
everything = len(sys.argv) > 3
agreed = folder / "statistics.json"
if not everything:
    agreed.write_text(json.dumps(merge("task", 0, {"north": aggregate(folder, 0, 0.1, 5)})))
statistics = json.loads(agreed.read_text())
run = Run.model_validate_json((folder / "run.json").read_bytes())
data = site_data([records_of(run, statistics, "north")])
if everything:
    data.train.inputs[slice(None)]
cohort = Cohort.of(statistics, run.sites)
party, step = Party(run, cohort, 0, data), algorithm("local").site_step
class Nobody:
    def send(self, message): self.said = message
for item in schedule(run, cohort.train):
    step(party, item, Nobody())
print(party.records_trained, party.best_loss)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a prepared folder of 630 MiB of images, all alike but for one corner."""
    folder = tmp_path_factory.mktemp("large")
    image = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    with growing(folder / prepared.IMAGES, SHAPE, "uint8") as rows:
        for record in range(RECORDS):
            image[:, :8, :8] = 250 * (record % 2)
            rows.append(image)
    numbers = np.arange(RECORDS)
    frame = pd.DataFrame(
        {
            "record": numbers, "patient": numbers, "label": numbers % 2,
            "role": np.where(numbers < 0.98 * RECORDS, "development", "test"), "with_image": True,
        }
    )  # fmt: skip
    count = Count(records=RECORDS, patients=RECORDS, events=RECORDS // 2)
    summary = Summary(
        format=PREPARED_FORMAT, site="north", title="", source="test", modalities=("image",), features=(),
        image=ImageShape(shape=SHAPE, dtype="uint8"), records=RECORDS, patients=RECORDS,
        events=RECORDS // 2, roles={"development": count}, quarantined={}, warnings=(),
    )  # fmt: skip
    prepared.fill(
        folder, Prepared(summary, frame, None, np.load(folder / prepared.IMAGES, mmap_mode="r")), []
    )
    run = {
        "study": "test", "task": "task", "strategy": "local", "seed": 0, "sites": ["north"],
        "parties": ["north"], "prepared": {"north": str(folder)}, "preset": "local", "algorithm": "local",
        "site_weights": "records", "cut": [], "model": {"name": "cnn", "channels": [1]},
        "training": {"rounds": 1, "batch_size": 256, "learning_rates": [0.03]}, "validation": 0.1,
        "missing": "impute", "release": "nothing", "threads": 1,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def trained(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(BUDGET), *more]
    # Arrow's own allocator reserves a gigabyte of addresses, which the limit would count
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_images_ten_times_the_memory_train_under_a_limit(large: Path) -> None:
    assert (large / prepared.IMAGES).stat().st_size >= 9.5 * BUDGET
    done = trained(large)
    assert done.returncode == 0, done.stderr
    records, loss = done.stdout.split()
    assert int(records) > 0.8 * RECORDS
    assert float(loss) / (0.1 * RECORDS) < 0.6  # it learned from what it streamed


def test_the_limit_is_one_that_reading_everything_would_break(large: Path) -> None:
    done = trained(large, "everything")
    assert done.returncode != 0
    assert "memory" in done.stderr.lower()
