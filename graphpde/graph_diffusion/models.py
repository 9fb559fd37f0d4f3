"""Classifiers of nodes by name."""

from __future__ import annotations

from torch import nn

from graphpde.registry import Registry

MODELS: Registry[type[nn.Module]] = Registry("model")
"""name -> class, built as ``Model(in_channels, hidden, classes, ...)``; called as ``model(graph, x, known=None)``."""
