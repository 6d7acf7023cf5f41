"""MONAI's two-dimensional ResNet-18 (He 2016) and DenseNet-121 (Huang 2017), as they are.

Importing MONAI takes seconds and its own dependencies, so only runs of these models import this module.
"""

from functools import partial
from math import gcd

from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.resnet import ResNet
from torch import nn

from coordinator.config import Model
from coordinator.models.slicing import together
from coordinator.models.stages import Builders

GROUP = 16  # channels in a group, the best of Wu & He 2018, table 3
BLOCKS = [2, 2, 2, 2]
PLANES = [64, 128, 256, 512]


def stages(model: Model, shape: tuple[int, ...], outputs: int = 1) -> Builders:
    """Describe the stages: (batch, channels, height, width) in, (batch, outputs) logits out of the last.

    Args:
        model: `resnet18` or `densenet121`.
        shape: (channels, height, width).
        outputs: logits of a record.
    """
    return together(
        partial(NETWORKS[model.name], model, shape[0], outputs), shape, f"{model!r} {shape}", outputs
    )


def resnet18(model: Model, channels: int, outputs: int = 1) -> nn.Module:
    """Make MONAI's ResNet-18, with dropout before its last layer."""
    small = model.stem == "3x3"
    network = ResNet(
        "basic", BLOCKS, PLANES, spatial_dims=2, n_input_channels=channels, num_classes=outputs,
        conv1_t_size=3 if small else 7, conv1_t_stride=1 if small else 2, no_max_pool=small,
        widen_factor=model.width / PLANES[0],
    )  # fmt: skip
    if model.dropout and network.fc is not None:
        network.fc = nn.Sequential(nn.Dropout(model.dropout), network.fc)  # type: ignore[assignment]
    return normalised(network, model.norm)


def densenet121(model: Model, channels: int, outputs: int = 1) -> nn.Module:
    """Make MONAI's DenseNet-121; the growth rate is half the width, as published."""
    network = DenseNet121(
        2,
        channels,
        outputs,
        init_features=model.width,
        growth_rate=model.width // 2,
        dropout_prob=model.dropout,
    )
    return normalised(network, model.norm)


NETWORKS = {"resnet18": resnet18, "densenet121": densenet121}


def normalised(network: nn.Module, norm: str) -> nn.Module:
    """Put group norm in the place of every batch norm, unless that is asked for.

    (MONAI's own `norm` reaches the first layer of its ResNet alone.)
    """
    if norm == "group":
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, _grouped(child.num_features))
    return network


def _grouped(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // gcd(GROUP, channels), channels)
