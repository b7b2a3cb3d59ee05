"""The whole training step at fixed places in memory, so that CUDA can record it once and replay it.

On a GPU a small network waits for its kernels to be launched, some two hundred a step; recorded as one CUDA graph they
cost one launch. A recording knows addresses, not Python: so batch rows, augmentation draws, learning rate, mask,
weights and momentum are copied into tensors that stay where they are, and one recording serves all phases of a run,
whatever becomes of masks, rates and rewinds. A new batch size, loss or gate is recorded anew.

    Network(model, data, engine="captured", device="cuda")
    nets.prune("resnet-20", data, recipe="open-lth-resnet-20", engine="captured", device="cuda")

One step:  rows -> images, moved and normalised -> forward, loss, backward -> gate -> decay, momentum, update. On the
CPU the same object runs as it is written, bit for bit as `Engine` does. On CUDA every recording is compared with the
same steps unrecorded before it is used; where recording fails or differs, the step runs unrecorded, after one warning
that says why. Dropout draws what it draws unrecorded: a recording takes the state of the default generator, which is
seeded by (seed, cost) before each step.

Trains SGD and Adam in float32 or float64 (with or without autocast), through gates that keep nothing of their own
between steps. Everything else is left to `Engine`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from nets import replicas
from nets.data import Batches
from nets.engine import MOMENTUM, Engine, own_generator, seed_step
from nets.gates import Gate
from nets.recipe import SGD, Adam, Constant, Recipe
from sparsopt.state import State

__all__ = ["RECORDERS", "CapturedEngine", "captures"]

OF_ITS_OWN = ("context", "look_again", "settle", "keep")  # hooks through which a gate acts outside of a recording
BLOCK = 256  # steps whose rows and draws are put on the device together
WARM_UP = 3  # unrecorded steps that let libraries choose their kernels and allocate
TRIAL = 0.1  # of the learning rate, for the steps that are compared: rounding must not grow from one to the other
AGREEMENT = {"float32": 0.01, "tfloat32": 0.01, "bfloat16": 0.1}  # of what they change, they may differ: other kernels

Replay = Callable[[], None]


# ---- what can be captured ------------------------------------------------------------------------------------------


def captures(recipe: Recipe, gate: Gate, batches: Any, dtype: torch.dtype) -> bool:
    """Whether a step of this recipe, gate and batches is the same operations every time."""
    plain = all(getattr(type(gate), hook) is getattr(Gate, hook) for hook in OF_ITS_OWN)
    ours = getattr(type(batches), "at", None) is Batches.at  # another `at` may give anything
    wide = dtype in (torch.float32, torch.float64)  # narrower ones would round the rate
    return plain and gate.trains_rest and gate.batches == 1 and ours and wide and type(recipe.optimiser) in UPDATES


# ---- optimisers, operation by operation as torch.optim has them ------------------------------------------------------


def _sgd(how: SGD, theta: Tensor, g: Tensor, memory: dict[str, Tensor], rate: Tensor, _: Tensor) -> None:
    if how.weight_decay:
        g = g.add(theta, alpha=how.weight_decay)
    if how.momentum:
        speed = memory["momentum_buffer"].mul_(how.momentum).add_(g)
        g = g.add(speed, alpha=how.momentum) if how.nesterov else speed
    theta.addcmul_(g, rate, value=-1)


def _adam(how: Adam, theta: Tensor, g: Tensor, memory: dict[str, Tensor], rate: Tensor, scale: Tensor) -> None:
    if how.weight_decay:
        g = g.add(theta, alpha=how.weight_decay)
    mean = memory["exp_avg"].lerp_(g, 1 - how.beta1)
    square = memory["exp_avg_sq"].mul_(how.beta2).addcmul_(g, g, value=1 - how.beta2)
    theta.addcdiv_(mean * rate, (square.sqrt() / scale).add_(how.epsilon), value=-1)


def _numbers(how: SGD | Adam, rate: float, t: float) -> tuple[float, float]:
    """What step t = 1, 2, .. multiplies and divides by."""
    if type(how) is Adam:
        return rate / (1 - how.beta1**t), math.sqrt(1 - how.beta2**t)
    return rate, 1.0


UPDATES: dict[type, Callable[..., None]] = {SGD: _sgd, Adam: _adam}


# ---- one step ------------------------------------------------------------------------------------------------------


class Step:
    """A training step and all that it reads and writes, at fixed places. Belongs to one engine.

    rows, draw     which samples, and what augmentation does to them; None without augmentation
    mask           what the gate's hooks are given
    memory         the optimiser's vectors
    rate, scale    its numbers of this step
    """

    def __init__(self, engine: Engine, recipe: Recipe, gate: Gate, batches: Batches) -> None:
        self.engine, self.recipe, self.gate, self.batches = engine, recipe, gate, batches
        self.theta = engine.theta.detach()
        self.v = self.theta[: engine.n]
        self.rows = batches.rows(0).clone()
        draw = batches.draw(0)
        self.draw = None if draw is None else draw.to(engine.device)
        self.mask = torch.ones_like(self.v)
        self.memory = {name: torch.zeros_like(self.theta) for name in recipe.optimiser.buffers}
        self.rate, self.scale = self.theta.new_zeros(()), self.theta.new_ones(())
        spare = torch.empty_like(self.v)
        self.visible = self.v if gate.weights(self.v, self.mask, spare) is self.v else spare
        self.replay: Replay | None = None

    def body(self) -> None:
        """The operations of `Engine.train`, in its order."""
        engine, g = self.engine, self.engine.slope
        inputs, targets = self.batches.assemble(self.rows, self.draw)
        self.gate.weights(self.v, self.mask, self.visible)
        g.zero_()
        engine.backward(self.recipe, inputs, targets)
        self.gate.gradient(g[: engine.n], self.v, self.mask)
        UPDATES[type(self.recipe.optimiser)](
            self.recipe.optimiser, self.theta, g, self.memory, self.rate, self.scale
        )  # fmt: skip

    def load(self, state: State) -> None:
        """The state's numbers into their places."""
        self.engine.load(state, self.gate.variables(state))
        self.engine.show(self.visible)
        self.mask.copy_(self.gate.context(state))
        for name, place in self.memory.items():
            x, rest = state.slots.get(f"{MOMENTUM}{name}.x"), state.slots.get(f"{MOMENTUM}{name}.rest")
            place.zero_() if x is None or rest is None else torch.cat([x, rest], out=place)

    def slots(self, steps: Tensor) -> dict[str, Tensor]:
        """Copies of what the optimiser remembers, as `Engine` names it."""
        found = {f"{MOMENTUM}step": steps}
        for name, place in self.memory.items():
            found[f"{MOMENTUM}{name}.x"] = place[: self.engine.n].clone()
            found[f"{MOMENTUM}{name}.rest"] = place[self.engine.n :].clone()
        return found

    def set(self, rows: Tensor, draw: Tensor | None, rate: float, t: float) -> None:
        """What changes from step to step."""
        self.rows.copy_(rows)
        if self.draw is not None and draw is not None:
            self.draw.copy_(draw)
        rate, scale = _numbers(self.recipe.optimiser, rate, t)
        self.rate.fill_(rate)
        self.scale.fill_(scale)

    def written(self) -> list[Tensor]:
        """What a step changes and a later one reads: weights, optimiser, buffers (which a module may replace)."""
        return [self.theta, *self.memory.values(), *self.engine.weights.constants(self.engine.model).values()]


# ---- recording -----------------------------------------------------------------------------------------------------


def cuda_graph(body: Replay, device: torch.device) -> Replay:
    """`body` as one CUDA graph, after a few unrecorded calls on a stream of their own."""
    with torch.cuda.device(device):
        side, here = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                body()
        here.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with _undisturbed(here), torch.cuda.graph(graph, stream=side):
            body()
    return graph.replay


@contextlib.contextmanager
def _undisturbed(here: torch.cuda.Stream) -> Iterator[None]:
    """A capture during which nothing is collected: an older graph that were freed now would break it.

    One that fails leaves its stream the current one, and a generator that believes in it and refuses to draw.
    """
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    except BaseException:
        torch.cuda.set_stream(here)
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        generator.graphsafe_set_state(generator.clone_state())
        raise
    finally:
        if collecting:
            gc.enable()


Recorder = Callable[[Replay, torch.device], Replay]
RECORDERS: dict[str, Recorder] = {"cuda": cuda_graph}  # by type of device; on others steps run unrecorded


def recorded(step: Step, seed: Callable[[int], None]) -> Replay:
    """A recording of the step that does what the step does; or the step itself, after a warning that says why.

    seed: sets the random state for the first or second of the steps that are compared. Leaves every number as it was.
    """
    record = RECORDERS.get(step.engine.device.type)
    if record is None:
        return step.body
    before, replay = [tensor.clone() for tensor in step.written()], step.body
    try:
        expected = _twice(step, step.body, before, seed)
        replay = record(step.body, step.engine.device)
        found = _twice(step, replay, before, seed)
        _restore(step, before)
        wrong = _difference(before, expected, found, AGREEMENT[step.recipe.precision])
    except (RuntimeError, ValueError, TypeError) as error:
        _restore(step, before)
        wrong = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if not wrong:
        return replay
    warnings.warn(f"the training step is not recorded and runs slower: {wrong}", RuntimeWarning, stacklevel=4)
    return step.body


def _twice(step: Step, one: Replay, before: Sequence[Tensor], seed: Callable[[int], None]) -> list[Tensor]:
    """What two steps from `before` write. Two, because a buffer that is replaced shows in the second only."""
    _restore(step, before)
    for i in range(2):
        seed(i)
        one()
    return [tensor.clone() for tensor in step.written()]


@torch.no_grad()
def _restore(step: Step, before: Sequence[Tensor]) -> None:
    for tensor, old in zip(step.written(), before, strict=True):
        tensor.copy_(old)


def _difference(before: Sequence[Tensor], expected: Sequence[Tensor], found: Sequence[Tensor], tolerance: float) -> str:
    """Where a recording went wrong, by more than rounding; "" if nowhere."""
    for old, right, ours in zip(before, expected, found, strict=True):
        moved, off = ((a.double() - b.double()).norm().item() for a, b in ((right, old), (ours, right)))
        if not off <= tolerance * moved + 1e-12:
            return f"two recorded steps differ from two unrecorded ones by {off:.2g}, which moved by {moved:.2g}"
    return ""


# ---- the engine ----------------------------------------------------------------------------------------------------


class CapturedEngine:
    """Trains with an engine's weights by steps that are recorded once. Belongs to one run, as the other."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.steps: dict[tuple[Any, ...], Step] = {}

    def train(self, state: State, recipe: Recipe, gate: Gate, batches: Batches, steps: int, total: int) -> State:
        """As `Engine.train`."""
        step, device = self._step(recipe, gate, batches), self.engine.device
        step.load(state)
        t = state.slots.get(f"{MOMENTUM}step", torch.zeros(())).cpu().clone()
        self.engine.model.train()
        with own_generator(device, recipe.precision):
            for i, (rows, draw) in enumerate(_fed(batches, state.cost, steps)):
                if step.replay is None:
                    step.set(rows, draw, TRIAL * recipe.learning_rate, 1)
                    step.replay = recorded(step, lambda j: seed_step(device, state.seed, state.cost + j))
                t += type(recipe.optimiser) is Adam
                step.set(rows, draw, recipe.rate(state.clock + i, total), t.item())
                seed_step(device, state.seed, state.cost + i)
                step.replay()
                replicas.turn()
        others = {name: a for name, a in state.slots.items() if not name.startswith(MOMENTUM)}
        slots = {**others, **self.engine.contents(), **step.slots(t)}
        state = state.but(slots=slots, clock=state.clock + steps, cost=state.cost + steps)
        return gate.store(state, step.v.clone())

    def _step(self, recipe: Recipe, gate: Gate, batches: Batches) -> Step:
        """The step for what a recording holds; rate and schedule are no part of that."""
        held = dataclasses.replace(recipe, learning_rate=0.0, schedule=Constant(), name="")
        key = (repr(held), repr(gate), id(batches))
        if key not in self.steps:
            self.steps[key] = Step(self.engine, recipe, gate, batches)
        return self.steps[key]


def _fed(batches: Batches, first: int, steps: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(rows, draws) of each step, on the device, where they arrive many steps at a time."""
    device = batches.data.labels.device
    for start in range(first, first + steps, BLOCK):
        block = range(start, min(start + BLOCK, first + steps))
        draws = [draw for draw in map(batches.draw, block) if draw is not None]
        moved: Sequence[Tensor | None] = _sent(torch.stack(draws), device).unbind() if draws else [None] * len(block)
        yield from zip(map(batches.rows, block), moved, strict=True)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting until it is there."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
