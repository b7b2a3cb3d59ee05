"""Truly sparse training on the CPU: an optional compiled engine for phases with a fixed mask."""

from __future__ import annotations

from nets.sparse.convolutional import ConvolutionalEngine
from nets.sparse.engine import SparseEngine, available, crossing, engine_of, threshold, trains

__all__ = ["ConvolutionalEngine", "SparseEngine", "available", "crossing", "engine_of", "threshold", "trains"]
