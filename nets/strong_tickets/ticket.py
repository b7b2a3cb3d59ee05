"""A ticket is (seed, architecture, masks): everything else can be rebuilt from it.

    ticket = load("lenet.ticket")          # a few hundred kB; the random weights are not in it
    ticket(x)                              # the masked random network itself
    ticket.collapsed(x)                    # the same numbers, from the network of the target's depth that it amounts to

The file is an .npz archive without pickle: `header` (JSON: format, seed, steps, construction, a name for the source's
values) and one bit a source weight, compressed. Reading checks it all; it is written atomically.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from nets.strong_tickets.collapsed import Collapsed
from nets.strong_tickets.constructions import Construction
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats, Mask, Source
from nets.strong_tickets.spec import decode, encode
from nets.strong_tickets.steps import Step, linear_steps
from sparsopt.errors import CheckpointError, DataError, InvalidInput
from sparsopt.machine.files import write_atomically

FORMAT = 1
LARGEST = 1 << 33  # source weights of a file that is read: 1 GiB of bits
HEADER = 1 << 22  # bytes


@dataclass(frozen=True, eq=False)
class Ticket:
    """seed of the source; steps of the target; construction (with them, the architecture of the source); the masks."""

    seed: int
    steps: tuple[Step, ...]
    construction: Construction
    masks: Mapping[str, Mask]

    def __post_init__(self) -> None:
        shapes = {t.name: t.shape for t in self.source.tensors}
        if {name: mask.shape for name, mask in self.masks.items()} != shapes:
            raise InvalidInput(f"masks do not fit the source, whose tensors are {shapes}")

    def __repr__(self) -> str:
        return f"Ticket(seed={self.seed}, {self.construction!r}, {self.kept} of {self.source.size} weights)"

    @cached_property
    def source(self) -> Source:
        """The random network: a function of seed and architecture alone."""
        return Source(self.seed, self.construction.tensors(self.steps))

    @property
    def kept(self) -> int:
        """Weights of the source that the masks keep."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @cached_property
    def collapsed(self) -> Collapsed:
        """What the masks amount to."""
        return self.construction.collapse(self.source, self.steps, self.masks)

    def __call__(self, x: Floats, batch: int = 128) -> Floats:
        """The outputs of the masked source, float64."""
        x = np.asarray(x, dtype=np.float64)
        parts = [self.construction.run(self.source, self.steps, self.masks, part) for part in _batches(x, batch)]
        return np.concatenate(parts)

    @property
    def depth(self) -> int:
        """Linear layers of the source."""
        return len(self.masks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file. Raises CheckpointError where that fails; what was there stays."""
        write_atomically(Path(path), self._write, CheckpointError)

    def _write(self, file: IO[bytes]) -> None:
        header = {"format": FORMAT, "seed": self.seed, "steps": encode(self.steps), "source": self.source.digest(),
                  "construction": encode(self.construction)}  # fmt: skip
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        bits = {name: np.packbits(mask.reshape(-1)) for name, mask in self.masks.items()}
        np.savez_compressed(file, header=text, **bits)  # type: ignore[arg-type]


def load(path: str | os.PathLike[str]) -> Ticket:
    """Read a ticket and check that its source can be rebuilt here.

    Raises DataError for a file that is missing, damaged, no ticket, or whose source has other values on this machine.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(_member(archive, "header", None).tobytes())
            return _ticket(archive, header)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # zipfile, zlib, json and numpy raise many kinds for damaged bytes
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{path}: no whole ticket of format {FORMAT} ({reason}); build it again") from error


def _ticket(archive: zipfile.ZipFile, header: Any) -> Ticket:
    if header["format"] != FORMAT or not isinstance(header["seed"], int):
        raise InvalidInput(f"format {header['format']!r}, seed {header['seed']!r}")
    steps, construction = decode(header["steps"]), decode(header["construction"])
    if not isinstance(construction, Construction) or not linear_steps(steps):
        raise InvalidInput("no construction, or no linear step")
    source = Source(header["seed"], construction.tensors(steps))
    if source.size > LARGEST:
        raise InvalidInput(f"{source.size} source weights are more than {LARGEST}")
    masks = {}
    for tensor in source.tensors:
        bits = _member(archive, tensor.name, -(-tensor.size // 8))
        mask = np.unpackbits(bits, count=tensor.size).astype(bool)
        masks[tensor.name] = mask.reshape(tensor.shape)
    if source.digest() != header["source"]:
        raise InvalidInput("the source rebuilt here has other values than where the ticket was made")
    return Ticket(header["seed"], steps, construction, masks)


def _member(archive: zipfile.ZipFile, name: str, size: int | None) -> Any:
    """The bytes of one array, of a size that is known or limited before anything is unpacked."""
    info = archive.getinfo(f"{name}.npy")
    largest = HEADER if size is None else size + 256
    if info.file_size > largest:
        raise InvalidInput(f"{name} has {info.file_size} bytes and should have at most {largest}")
    array = np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
    if array.dtype != np.uint8 or array.ndim != 1 or (size is not None and len(array) != size):
        raise InvalidInput(f"{name} is {array.dtype} of shape {array.shape}, not {size} bytes")
    return array


def _batches(x: Floats, size: int) -> list[Floats]:
    return [x[start : start + size] for start in range(0, max(len(x), 1), size)]


# ---- targets, beside their tickets --------------------------------------------------------------------------------


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a target as .npz without pickle, atomically."""
    arrays = {f"{kind}{l}": a for kind, many in (("weight", network.weights), ("bias", network.biases))
              for l, a in enumerate(many)}  # fmt: skip
    text = np.frombuffer(json.dumps(encode(network.steps)).encode(), dtype=np.uint8)
    write_atomically(Path(path), lambda file: np.savez(file, steps=text, **arrays), CheckpointError)  # type: ignore[arg-type]


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read what `save_network` wrote. Raises DataError for a file that is missing, damaged or something else."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            steps = decode(json.loads(file["steps"].tobytes()))
            count = range(len(linear_steps(steps)))
            return Network(steps, tuple(file[f"weight{l}"] for l in count), tuple(file[f"bias{l}"] for l in count))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # zipfile, zlib, json and numpy raise many kinds for damaged bytes
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{path}: no whole target network ({reason})") from error
