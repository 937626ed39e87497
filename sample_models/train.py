"""Train one sample model: ``python sample_models/train.py fashion-resnet20``.

Reads the full Fashion-MNIST (60,000 training images, of which the workbench's 2,000 validation
images are held out) or digits; writes ``weights/NAME.safetensors`` with the training record in
its metadata. ``card.py`` then measures the model and writes its card. Seeded; two cores are
enough for each model.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import make_data  # noqa: E402

from workbench.architectures import ARCHITECTURES  # noqa: E402
from workbench.shared import stored_once  # noqa: E402


@dataclass(frozen=True)
class Recipe:
    """How one sample model is trained.

    Attributes:
        small_epochs: Epochs at the start on images shrunk to ``small_size``, which cost less.
        shift: Random shift in pixels.
        flip: Mirror half of the images.
    """

    architecture: str
    data: str
    epochs: int
    lr: float
    optimizer: str = "sgd"
    weight_decay: float = 5e-4
    batch_size: int = 128
    small_epochs: int = 0
    small_size: int = 20
    shift: int = 2
    flip: bool = True
    arguments: dict[str, object] = field(default_factory=dict)


RECIPES = {
    "digits-mlp": Recipe("mlp", "digits", 80, 3e-3, "adamw", 1e-2, 64, shift=1, flip=False),
    "digits-shared": Recipe("recursive", "digits", 40, 0.1, batch_size=64, shift=1, flip=False),
    "digits-resnet50": Recipe(
        "resnet", "digits", 160, 2e-3, "adamw", 0.02, 48, shift=1, flip=False,
        arguments={"widths": [16, 32, 64, 128], "blocks": [3, 4, 6, 3], "bottleneck": True},
    ),
    "fashion-lenet5": Recipe("lenet5", "fashion-mnist", 20, 0.05),
    "fashion-resnet20": Recipe("resnet", "fashion-mnist", 14, 0.3, small_epochs=7),
    "fashion-mobilenet": Recipe("mobilenet", "fashion-mnist", 16, 0.3, weight_decay=2e-4,
                                small_epochs=6),
    "fashion-vit": Recipe("vit", "fashion-mnist", 14, 2e-3, "adamw", 0.05, shift=1),
    "fashion-gru": Recipe("gru", "fashion-mnist", 18, 3e-3, "adamw", 0.01, shift=1),
}  # fmt: skip


def training_images(data: str) -> tuple[Tensor, Tensor, float, float]:
    """Everything but validation and test: images (N, 1, H, W) in 0..1, labels, mean, spread."""
    fashion = data == "fashion-mnist"
    parts = make_data.read_fashion(make_data.FASHION_FOLDER) if fashion else make_data.read_digits()
    held_out = make_data.FASHION_VALIDATION if fashion else make_data.DIGITS_VALIDATION
    images = torch.from_numpy(parts["x_train"][held_out:].copy())[:, None] / 255
    labels = torch.from_numpy(parts["y_train"][held_out:].astype(np.int64))
    with np.load(HERE / "data" / f"{data}.npz") as stored:
        return images, labels, float(stored["mean"][0]), float(stored["std"][0])


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Mirror and shift a batch (N, C, H, W); each image gets its own shift."""
    count, _, height, width = images.shape
    columns = torch.arange(width).repeat(count, 1)
    if recipe.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    pad = recipe.shift
    moves = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
    rows = torch.arange(height).repeat(count, 1) + moves[0]
    columns = columns + moves[1]
    padded = F.pad(images, (pad, pad, pad, pad))
    batch = torch.arange(count)[:, None, None]
    return padded[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train(name: str, seed: int) -> None:
    """Train the named model with a one-cycle schedule and save it."""
    recipe = RECIPES[name]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels, mean, std = training_images(recipe.data)
    family = ARCHITECTURES[recipe.architecture]
    network: nn.Module = family.build(**recipe.arguments).to(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    if recipe.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            parameters, recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
        )
    else:
        optimizer = torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay)
    steps = len(images) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.epochs * steps, pct_start=0.2
    )
    began = time.perf_counter()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)
        total, correct = 0.0, 0
        for step in range(steps):
            pick = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            batch = augment(images[pick], recipe, generator)
            if epoch < recipe.small_epochs:
                batch = F.interpolate(batch, size=recipe.small_size, mode="area")
            batch = ((batch - mean) / std).contiguous(memory_format=torch.channels_last)
            scores = network(batch)
            loss = F.cross_entropy(scores, labels[pick])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
            correct += int((scores.argmax(1) == labels[pick]).sum())
        accuracy = correct / (steps * recipe.batch_size)
        elapsed = time.perf_counter() - began
        print(f"epoch {epoch + 1}/{recipe.epochs} loss {total / steps:.4f} "
              f"training accuracy {accuracy:.4f} {elapsed:.0f} s", flush=True)  # fmt: skip
    record = {
        "name": name,
        "architecture": recipe.architecture,
        "arguments": family.infer(network.state_dict()) | recipe.arguments,
        "input_shape": list(images.shape[1:]),
        "data": recipe.data,
        "recipe": asdict(recipe),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "training_images": len(images),
        "training_seconds": round(time.perf_counter() - began),
    }
    path = HERE / "weights" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    state = stored_once(network.state_dict(), network)
    tensors = {key: value.contiguous() for key, value in state.items()}
    save_file(tensors, path, {"training": json.dumps(record)})
    print(f"wrote {path.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.name, arguments.seed)


if __name__ == "__main__":
    main()
