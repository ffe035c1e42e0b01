"""How fast an exported own-images run scores, beside PyTorch eager running its encoder alone.

    pip install torch
    python -m benchmarks.encoder_speed RUN

RUN is the folder of a run with the encoder EfficientNet-Lite0, exported by `python -m export RUN
--formats saved_model,onnx,int8`; int8 may be missing. Our files do all of their work: encoder,
distances, score and decision. The rival is the same backbone in PyTorch, in eager mode and
channels_last, without anything behind it; its weights are random, which changes no speed. All take
turns in one process, so that a busy machine slows all of them: compare the ratios of the median
times, which are kept as benchmarks/results/encoder_speed.json.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers.timing import Effort, take_turns
from benchmarks.results_file import save
from export.runtime import Scorer
from ganad_tf.atomic_files import read_json
from ganad_tf.errors import DataError, run_cli
from ganad_tf.networks.efficientnet_lite import STEM_CHANNELS, block_shapes

BATCHES = (1, 32)
# Long enough for caches and clocks to settle.
TURN = 0.5  # seconds


def torch_backbone():
    """EfficientNet-Lite0 without its head, as PyTorch users write it; eager, channels_last."""
    import torch
    from torch import nn

    def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(outputs)]

    class Block(nn.Module):
        def __init__(self, shape):
            super().__init__()
            inner = shape.inputs * shape.expansion
            layers = []
            if shape.expansion > 1:
                layers += [*convolution(shape.inputs, inner, 1), nn.ReLU6(inplace=True)]
            layers += convolution(inner, inner, shape.kernel, shape.stride, inner)
            layers += [nn.ReLU6(inplace=True), *convolution(inner, shape.channels, 1)]
            self.layers = nn.Sequential(*layers)
            self.adds = shape.stride == 1 and shape.inputs == shape.channels

        def forward(self, x):
            y = self.layers(x)
            return x + y if self.adds else y

    stem = [*convolution(3, STEM_CHANNELS, 3, 2), nn.ReLU6(inplace=True)]
    network = nn.Sequential(*stem, *(Block(shape) for shape in block_shapes()))
    return network.eval().to(memory_format=torch.channels_last)


def torch_runner(size: int, threads: int) -> Callable[[np.ndarray], object]:
    """A function from uint8 images [N, h, w, C] to feature maps at `size` pixels."""
    import torch

    torch.set_num_threads(threads)
    network = torch_backbone()

    def run(images: np.ndarray) -> object:
        with torch.inference_mode():
            x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
            if images.shape[1] != size:
                x = torch.nn.functional.interpolate(x, (size, size), mode="bilinear")
            x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            return network(x)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--rounds", type=int, default=9)
    flags = parser.parse_args()
    files = {"float32": flags.run / "model.onnx", "int8": flags.run / "model.int8.onnx"}
    scorers = {name: Scorer(path) for name, path in files.items() if path.is_file()}
    if "float32" not in scorers:
        raise DataError(f"expected an exported run with model.onnx. Received: {flags.run}")
    plan = read_json(flags.run / "plan.json")
    threads = scorers["float32"].threads
    rival = torch_runner(plan["encoder_size"], threads)
    runners = {"PyTorch eager": rival, **{n: s.score for n, s in scorers.items()}}
    shape = scorers["float32"].image_shape
    rng = np.random.default_rng(0)
    results = {}
    for batch in BATCHES:
        images = rng.integers(0, 256, (batch, *shape), dtype=np.uint8)
        sides = {name: functools.partial(run, images) for name, run in runners.items()}
        times = take_turns(sides, Effort(flags.rounds, TURN))
        speeds = {name: batch / float(np.median(seconds)) for name, seconds in times.items()}
        rival_speed = speeds["PyTorch eager"]
        ratios = {name: speed / rival_speed for name, speed in speeds.items()}
        results[f"batch {batch}"] = {"images_per_second": speeds, "ratios": ratios}
        for name, speed in speeds.items():
            print(f"batch {batch:3}  {name:14} {speed:7.1f} images/s  {ratios[name]:.2f}")
    about = {"threads": threads, "image_shape": list(shape), "encoder_size": plan["encoder_size"]}
    save("encoder_speed", {**about, "rounds": flags.rounds, **results})


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
