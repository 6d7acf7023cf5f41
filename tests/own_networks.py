"""Networks as a study might bring its own, straight ones and ones with something in the way of a cut."""

import torch
from torch import nn
from torch.nn.functional import dropout, relu


class Small(nn.Module):
    """A convolutional network as people write it: functions between layers, a block with a skip."""

    def __init__(self, channels: int = 1, width: int = 4, norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.act = nn.ReLU(inplace=True)
        self.block = Skip(width)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.classifier = nn.Sequential(nn.Linear(width * 16, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 1))

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        x = self.block(x)
        x = self.act(self.second(x))
        return self.classifier(torch.flatten(x, 1))


class Skip(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)

    def forward(self, x):
        return relu(x + self.outer(relu(self.inner(x))))


class Table(nn.Module):
    """Linear layers between which something stands that `how` names."""

    def __init__(self, how: str = "", outputs: int = 1) -> None:
        super().__init__()
        self.how = how
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, outputs)
        if how == "tied":
            self.second.weight = self.first.weight
        if how == "scaled":
            self.scale = nn.Parameter(torch.ones(6))
        self.second.bias.requires_grad_(how != "frozen")
        if how == "tuple":
            self.recurrent = nn.LSTM(6, 6, batch_first=True)

    def forward(self, x):
        first = self.first(x)
        if self.how == "changed in place":
            first.add_(1)
        if self.how == "scaled":
            first = first * self.scale
        if self.how == "training":
            first = dropout(first, 0.5, training=self.training)
        if self.how == "branches" and first.sum() > 0:
            first = -first
        if self.how == "twice":
            first = self.first(first)
        if self.how == "tuple":
            first = self.recurrent(first[:, None])[0][:, 0]
        second = self.second(first)
        if self.how == "scaled":
            second = second * self.scale
        if self.how == "skips":
            second = second + first
        return self.last(second)


class Nested(nn.Module):
    """Can be cut within a submodule, whose stages have a dot in their names."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential()
        self.inner.add_module("first", nn.Linear(6, 6))
        self.inner.add_module("second", nn.Linear(6, 6))
        self.last = nn.Linear(6, 1)

    def forward(self, x):
        return self.last(self.inner(x))


class Alters(nn.Module):
    """Changes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, x):
        x.clamp_(min=0)
        return self.layer(x)


def a_function() -> nn.Module:
    return Table()
