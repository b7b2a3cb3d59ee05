"""Typed errors. A message names what was wrong, and what would work instead.

Every class also derives from the built-in that callers would expect, so `except ValueError` keeps working.
"""

from __future__ import annotations


class SparsoptError(Exception):
    """Base of everything this project raises on purpose."""


class InvalidInput(SparsoptError, ValueError):
    """An argument has the wrong value or shape: NaN in X, y of the wrong length, k < 0, an unknown name."""


class MissingCapability(SparsoptError, TypeError):
    """Two parts do not fit: names both objects, what is missing, and what would fit instead."""


class NotFinite(SparsoptError, ArithmeticError):
    """A number became NaN or infinite where the mathematics needs a finite one."""


class InvalidResult(SparsoptError, RuntimeError):
    """A method returned what it must not (too many coordinates, weights off its support): not the input's fault."""


class DataError(SparsoptError, OSError):
    """A data file is missing, truncated or corrupt: names the file, what was expected and what was found."""


class CheckpointError(SparsoptError, OSError):
    """A saved run cannot be read, or does not belong to this configuration."""
