"""The engine: the one place where a network's weights are trained, by the one loop over steps.

All parameters live in one vector theta = [x, rest] of which the module's tensors are views, and their gradients in
another, so that mask, decay and momentum are single operations whatever the architecture. The optimiser is PyTorch's,
on theta. An engine belongs to one run; between calls everything that matters is in the `State`.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nets import ranks, seeds
from nets.gates import Gate, Masked
from nets.recipe import Recipe
from nets.weights import Weights
from sparsopt.state import State

BUFFER = "buffer."  # slots of constants: buffers and frozen parameters
MOMENTUM = "momentum."

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) -> mean
Chunks = Sequence[tuple[Tensor, Tensor]]


def plain(recipe: Recipe, gate: Gate) -> bool:
    """Masks and nothing else, in float32: what faster engines than the one here can take."""
    return gate == Masked() and recipe.precision == "float32"


class Engine:
    """A private copy of the module whose parameters are views of theta."""

    chunk = 2048  # samples evaluated together

    def __init__(self, model: nn.Module, weights: Weights, device: torch.device) -> None:
        self.weights, self.device, self.n = weights, device, weights.layout.n
        self.model = copy.deepcopy(model).to(device)
        x, rest = weights.flatten(self.model)
        self.theta = nn.Parameter(torch.cat([x, rest]))
        self.slope = self.theta.grad = torch.zeros_like(self.theta)
        self.show(self.theta.detach()[: self.n])

    def show(self, visible: Tensor) -> None:
        """Make the module's parameters views: the prunable of `visible`, the rest of theta, gradients of theta.grad."""
        theta, gradient = self.theta.detach(), self.slope
        parameters = dict(self.model.named_parameters())
        weights, n = self.weights, self.n
        views = [*weights.blocks(visible), *weights.blocks_of_rest(theta[n:])]
        slopes = [*weights.blocks(gradient[:n]), *weights.blocks_of_rest(gradient[n:])]
        for (name, view), (_, slope) in zip(views, slopes, strict=True):
            parameters[name].data = view
            parameters[name].grad = slope
        self.visible = visible

    # ---- in and out ------------------------------------------------------------------------------------------------

    def load(self, state: State, x: Tensor | None = None) -> None:
        """The state's weights (or x in their place), rest and constants into the module."""
        with torch.no_grad():
            if self.visible.data_ptr() != self.theta.data_ptr():  # a gate had kept the two apart
                self.show(self.theta.detach()[: self.n])
            self.theta[: self.n].copy_(state.x if x is None else x)
            self.theta[self.n :].copy_(state.slots["rest"])
            for name, constant in self.weights.constants(self.model).items():  # looked up: a module may replace them
                constant.copy_(state.slots[BUFFER + name])

    def contents(self) -> dict[str, Tensor]:
        """Copies of rest and constants, as slots."""
        slots = {"rest": self.theta.detach()[self.n :].clone()}
        return slots | {BUFFER + name: c.detach().clone() for name, c in self.weights.constants(self.model).items()}

    def _load_optimiser(self, recipe: Recipe, state: State) -> torch.optim.Optimizer:
        optimiser = recipe.optimiser.build(self.theta)
        memory: dict[str, Any] = {}
        for name in recipe.optimiser.buffers:
            x, rest = state.slots.get(f"{MOMENTUM}{name}.x"), state.slots.get(f"{MOMENTUM}{name}.rest")
            memory[name] = torch.zeros_like(self.theta) if x is None or rest is None else torch.cat([x, rest])
        memory["step"] = state.slots.get(f"{MOMENTUM}step", torch.zeros(())).cpu().clone()  # there on every device
        optimiser.state[self.theta] = memory
        return optimiser

    def _optimiser_slots(self, recipe: Recipe, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        memory, slots = optimiser.state[self.theta], {}
        for name in recipe.optimiser.buffers:
            slots[f"{MOMENTUM}{name}.x"] = memory[name][: self.n].clone()
            slots[f"{MOMENTUM}{name}.rest"] = memory[name][self.n :].clone()
        slots[f"{MOMENTUM}step"] = memory["step"].clone()
        return slots

    # ---- the loop --------------------------------------------------------------------------------------------------

    def train(self, state: State, recipe: Recipe, gate: Gate, batches: Any, steps: int, total: int) -> State:
        """`steps` optimiser steps from the state: batch and randomness keyed by its cost, the rate by its clock."""
        self.load(state, gate.variables(state))
        optimiser = self._load_optimiser(recipe, state)
        group, gradient, c = optimiser.param_groups[0], self.slope, gate.context(state)
        v, rest = self.theta.detach()[: self.n], self.theta.detach()[self.n :]
        frozen = None if gate.trains_rest else rest.clone()
        visible = self._open_gate(gate, v, c)
        self.model.train()
        with own_generator(self.device, recipe.precision):
            for step in range(steps):
                first = (state.cost + step) * gate.batches
                looks = itertools.cycle([ranks.share(batches.at(first + i)) for i in range(gate.batches)])
                seed_step(self.device, state.seed, state.cost + step, *ranks.position())
                group["lr"] = rate = recipe.rate(state.clock + step, total)
                gate.weights(v, c, visible)
                gradient.zero_()
                self.backward(recipe, *next(looks))
                while gate.look_again(gradient, self.theta.detach(), c, visible, rate):
                    with self._same_buffers():
                        self.backward(recipe, *next(looks))
                gate.gradient(gradient[: self.n], v, c)
                optimiser.step()
                gate.settle(v, c, rate)
                if frozen is not None:
                    rest.copy_(frozen)  # weight decay moves even what has no gradient
        ranks.average_memories(self.weights.constants(self.model).values())
        return gate.keep(gate.store(self._trained(state, recipe, optimiser, steps), v.clone()), c)

    def _trained(self, state: State, recipe: Recipe, optimiser: torch.optim.Optimizer, steps: int) -> State:
        """The state `steps` steps later, but for x: slots and clocks."""
        others = {name: a for name, a in state.slots.items() if not name.startswith((MOMENTUM, BUFFER))}
        slots = {**others, **self.contents(), **self._optimiser_slots(recipe, optimiser)}
        return state.but(slots=slots, clock=state.clock + steps, cost=state.cost + steps)

    @contextlib.contextmanager
    def _same_buffers(self) -> Iterator[None]:
        """What the module itself remembers, such as batch norm's statistics, is afterwards what it was."""
        before = {name: c.clone() for name, c in self.weights.constants(self.model).items()}
        yield
        with torch.no_grad():
            for name, constant in self.weights.constants(self.model).items():
                constant.copy_(before[name])

    def _open_gate(self, gate: Gate, v: Tensor, c: Any) -> Tensor:
        """What the module sees of its prunable weights: v itself where the gate keeps nothing apart."""
        spare = torch.empty_like(v)
        if gate.weights(v, c, spare) is v:
            return v
        self.show(spare)
        return spare

    def backward(self, recipe: Recipe, inputs: Tensor, targets: Tensor) -> None:
        """Adds the gradient of the batch, over all processes that share it."""
        self._loss(recipe, inputs, targets).backward()
        ranks.average(self.slope)

    def _loss(self, recipe: Recipe, inputs: Tensor, targets: Tensor) -> Tensor:
        if recipe.memory == "channels_last" and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)  # convolutions follow their input
        short = recipe.precision == "bfloat16"
        # uncached: theta changes in place, and a cast of it that is kept would be used again in the next step
        with torch.autocast(self.device.type, torch.bfloat16, enabled=short, cache_enabled=False):
            return recipe.loss(self.model(inputs), targets)

    # ---- evaluation ------------------------------------------------------------------------------------------------

    def gradient(self, state: State, x: Tensor, recipe: Recipe, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Gradient of the batch's loss in all of x, in training mode; nothing of it stays in the state."""
        return self.mean_gradient(state, x, recipe.loss, [batch])

    def mean_gradient(self, state: State, x: Tensor, loss: Loss, chunks: Chunks, mode: str = "train") -> Tensor:
        """Gradient in x of the mean loss over chunks of (inputs, targets), in "train" or "eval" mode."""
        with self._at(state, x, mode):
            for part in self._parts(loss, chunks):
                part.backward()
        return self.slope[: self.n].clone()

    def mean_loss(self, state: State, x: Tensor, loss: Loss, chunks: Chunks, mode: str = "train") -> float:
        """The mean loss whose gradient `mean_gradient` is."""
        with torch.no_grad(), self._at(state, x, mode):
            return float(sum(part.double() for part in self._parts(loss, chunks)))

    def hessian_product(
        self, state: State, x: Tensor, v: Tensor, loss: Loss, chunks: Chunks, mode: str = "train"
    ) -> Tensor:
        """H v, H the Hessian in x of the same mean loss: the gradient of (gradient . v), chunk by chunk."""
        directions = [direction for _, direction in self.weights.blocks(v)]
        with self._at(state, x, mode), _twice_differentiable():
            blocks = [self.model.get_parameter(name) for name in self.weights.prunable]
            for part in self._parts(loss, chunks):
                slopes = torch.autograd.grad(part, blocks, create_graph=True, materialize_grads=True)
                along = sum((g * d).sum() for g, d in zip(slopes, directions, strict=True))
                if isinstance(along, Tensor) and along.requires_grad:  # not where the loss is linear
                    along.backward()
        return self.slope[: self.n].clone()

    def flow(self, state: State, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """|x| * dR/d|x| (n,) in float64: R is the sum of the outputs for one input of ones, in evaluation mode, of the
        module with the absolute values of all parameters and buffers."""
        with self._at(state, x, "eval"):
            own = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
            size = {name: t.detach().abs().double() if t.is_floating_point() else t for name, t in own.items()}
            leaves = [size[name].requires_grad_() for name in self.weights.prunable]
            ones = torch.ones((1, *shape), dtype=torch.float64, device=self.device)
            total = torch.func.functional_call(self.model, size, (ones,)).sum()
            slopes = torch.autograd.grad(total, leaves, materialize_grads=True)
        return torch.cat([(w.detach() * g).reshape(-1) for w, g in zip(leaves, slopes, strict=True)]).abs()

    @contextlib.contextmanager
    def _at(self, state: State, x: Tensor, mode: str) -> Iterator[None]:
        """The module at x in a mode, without gradients yet, its randomness that of the state's next step."""
        self.load(state, x)
        self.slope.zero_()
        self.model.train(mode == "train")
        with own_generator(self.device):
            seed_step(self.device, state.seed, state.cost)
            yield

    def _parts(self, loss: Loss, chunks: Chunks) -> Iterator[Tensor]:
        """The loss of each chunk with its share of the samples: their sum is the mean loss."""
        total = sum(len(targets) for _, targets in chunks)
        for inputs, targets in chunks:
            part = loss(self.model(inputs), targets)
            yield part if len(chunks) == 1 else part * (len(targets) / total)

    @torch.no_grad()
    def outputs(self, state: State, x: Tensor, inputs: Tensor) -> Tensor:
        """The module's outputs, in evaluation mode."""
        self.load(state, x)
        self.model.eval()
        with own_generator(self.device):
            seed_step(self.device, state.seed, state.cost)
            return self.model(inputs)

    @torch.no_grad()
    def evaluate(self, state: State, x: Tensor, recipe: Recipe, chunks: Iterator[Any]) -> tuple[float, float]:
        """(mean loss, accuracy) over chunks of (inputs, targets), in evaluation mode."""
        self.load(state, x)
        self.model.eval()
        sums, count = torch.zeros(2, device=self.device, dtype=torch.float64), 0
        with own_generator(self.device):
            seed_step(self.device, state.seed, state.cost)
            for inputs, targets in chunks:
                outputs = self.predict(inputs)
                sums[0] += recipe.loss(outputs, targets).double() * len(targets)
                sums[1] += (outputs.argmax(-1) == targets).sum()
                count += len(targets)
        loss, right = (sums / count).tolist()
        return loss, right

    def predict(self, inputs: Tensor) -> Tensor:
        """The module's outputs in the mode that it is in."""
        return self.model(inputs)


def seed_step(device: torch.device, *position: int) -> None:
    """Dropout and the like draw from the default generators: they become a function of (seed, cost)."""
    number = seeds.mixed("step", *position)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)


@contextlib.contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Kernels that fuse attention or recurrence have no second derivative: the plain ones run instead."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield


@contextlib.contextmanager
def own_generator(device: torch.device, precision: str = "float32") -> Iterator[None]:
    """The caller's random state is as before afterwards, and its autocast stays outside; on CUDA, kernels are chosen to
    be repeatable."""
    before = torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    short = precision == "tfloat32"
    products, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, short
    try:
        repeatable = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=short)
        with repeatable, torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = products
        torch.set_rng_state(before)
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, device)
