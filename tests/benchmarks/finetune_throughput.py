"""Throughput of fine-tuning with masks against a plain PyTorch loop, measured in turns.

Run: python -m tests.benchmarks.finetune_throughput [--model fashion-resnet20] [--rounds 5]

Each round trains the same pruned model on the same images twice, once in a loop as anyone would
write it and once with ``workbench.finetune``; which goes first alternates. The plain loop shuffles
and gathers its batches as fine-tuning does, without masks, schedule or reports.
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch
from torch.nn import functional as F

import workbench as wb

EPOCHS = 1


def plain_samples_per_second(pruned: wb.Pruned, data: wb.Data, batch: int) -> float:
    """Images a second of a plain loop: SGD with Nesterov momentum and weight decay."""
    module = pruned.model.copy_module().train()
    optimizer = torch.optim.SGD(module.parameters(), 0.01, 0.9, weight_decay=0.0005, nesterov=True)
    split = data.split("train")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    steps = len(split) // batch * EPOCHS
    start = time.perf_counter()
    for step in range(steps):
        chosen = order[step * batch : (step + 1) * batch]
        optimizer.zero_grad()
        loss = F.cross_entropy(module(split.images[chosen]), split.labels[chosen])
        loss.backward()
        optimizer.step()
    return steps * batch / (time.perf_counter() - start)


def masked_samples_per_second(pruned: wb.Pruned, data: wb.Data, batch: int, shift: int) -> float:
    """Images a second of fine-tuning, by its own clock, which leaves validation out."""
    settings = wb.FineTuneSettings(epochs=EPOCHS, batch_size=batch, lr=0.01, shift=shift)
    return wb.finetune(pruned, data, settings).samples_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fashion-resnet20")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2_000, help="training images a round")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, data = wb.load_model(arguments.model), wb.load_data(arguments.data)
    data = first_images(data, arguments.images)
    pruned = wb.prune(model, wb.allocate(model, "global", sparsity=arguments.sparsity))
    ways = {
        "plain loop": lambda: plain_samples_per_second(pruned, data, arguments.batch),
        "masks held": lambda: masked_samples_per_second(pruned, data, arguments.batch, 0),
        "masks held, images shifted": lambda: masked_samples_per_second(
            pruned, data, arguments.batch, 1
        ),
    }
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(-1, arguments.rounds):  # the first round warms up
        names = list(ways) if round_number % 2 else list(reversed(ways))
        for name in names:
            value = ways[name]()
            if round_number >= 0:
                seen[name].append(value)
    plain = seen["plain loop"]
    print(f"{arguments.model}, {arguments.threads} threads, {arguments.rounds} rounds in turns")
    for name, values in seen.items():
        part = statistics.median(v / p for v, p in zip(values, plain, strict=True))
        print(f"{name:28} {statistics.median(values):8.0f} images/s  {part:6.1%} of plain")


def first_images(data: wb.Data, count: int) -> wb.Data:
    """The data with fewer training images, and 100 validation images before them."""
    start = data.num_validation
    chosen = [*range(100), *range(start, start + count)]
    return replace(
        data, x_train=data.x_train[chosen], y_train=data.y_train[chosen], num_validation=100
    )


if __name__ == "__main__":
    main()
