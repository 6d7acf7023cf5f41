"""The named ways to train: each is an algorithm's module and what it sets of that module's axes."""

from typing import Any, Final

Axes = dict[str, Any]

SPLIT: Final[Axes] = {
    "algorithm": "split", "labels": "shared", "site_parts": "handed_on", "back": "single", "turn": "client",
    "order": "fixed", "interleave": "cyclic", "optimizer_state": "restarted", "aggregate": "mean",
    "trimmed_share": 0.2,
}  # fmt: skip
FEDERATED: Final[Axes] = {
    "algorithm": "federated", "rule": "fedavg", "optimizer_state": "restarted", "aggregate": "mean",
    "trimmed_share": 0.2,
}  # fmt: skip
# Reddi 2021, section 5 and appendix D.2: beta1 0.9, beta2 0.99; tau 1e-3 does well on all its tasks
ADAPTIVE: Final[Axes] = {**FEDERATED, "server_rate": 0.01, "server_beta1": 0.9, "server_tau": 1e-3}

PRESETS: Final[dict[str, Axes]] = {
    "centralized": {"algorithm": "local", "batches": "shuffled"},
    "local": {"algorithm": "local"},
    "cyclic": {"algorithm": "cyclic", "order": "fixed"},  # Chang 2018
    "split": SPLIT,  # Gupta & Raskar 2018
    "split_u": {**SPLIT, "labels": "private"},  # Vepakomma 2018
    # our reading of Li 2023: neither records nor parameters leave
    "split_private": {**SPLIT, "labels": "private", "site_parts": "private", "turn": "batch"},
    "multi_head": {**SPLIT, "site_parts": "private", "turn": "batch"},  # Joshi 2022
    "split_parallel": {**SPLIT, "site_parts": "synchronous", "back": "joint"},
    "splitfed_v1": {**SPLIT, "site_parts": "averaged", "back": "averaged"},  # Thapa 2022
    "splitfed_v2": {**SPLIT, "site_parts": "averaged", "order": "drawn"},  # Thapa 2022, as its code
    "splitfed_v3": {**SPLIT, "site_parts": "private", "back": "averaged"},  # Gawali 2021
    "fedavg": FEDERATED,  # McMahan 2017
    "fedprox": {**FEDERATED, "rule": "fedprox", "proximal_mu": 0.01},  # Li 2020
    "fedadam": {**ADAPTIVE, "rule": "fedadam", "server_beta2": 0.99},  # Reddi 2021
    "fedyogi": {**ADAPTIVE, "rule": "fedyogi", "server_beta2": 0.99},  # Reddi 2021
    "fedadagrad": {**ADAPTIVE, "rule": "fedadagrad", "server_beta1": 0.0},  # Reddi 2021
    "scaffold": {**FEDERATED, "rule": "scaffold", "server_rate": 1.0},  # Karimireddy 2020
    "fedbn": {**FEDERATED, "rule": "fedbn"},  # Li 2021
    "fednova": {**FEDERATED, "rule": "fednova"},  # Wang 2020
}
AXES: Final = (
    "labels", "site_parts", "back", "turn", "order", "interleave", "optimizer_state", "batches",
    "aggregate", "trimmed_share", "proximal_mu", "server_rate", "server_beta1", "server_beta2", "server_tau",
)  # fmt: skip
