"""What each rewrite of a network's graph buys, in ONNX Runtime and in OpenVINO.

    python benchmarks/rewrites.py [NET...] [--batch 64] [--threads 1] [--rounds 7] [--int8]

The naive graph is the network as it is, by torch.onnx.export; beside it stand graphs with one
rewrite each, and with all. Interleaved rounds; medians and middle halves in microseconds a patch,
and how many times as fast as the naive graph in the same backend, round by round.

* norms: batch norms merged into the convolutions before them. The normalisation of each patch
  stays: its mean and deviation are known only when it comes.
* layers: CDP without slice and concatenation, and what other layers have of the kind.
* dense: a convolution that sees its whole input at once as a matrix product.
"""

import logging
import warnings

import click
import numpy as np
import torch
from torch import nn

from descompress import load
from descompress.benching import inputs
from descompress.clock import Timing, Turns, in_turns, threads_set
from descompress.exporting import facts_of, quantised
from descompress.nets import Net
from descompress.rewriting import REWRITES, rewritten
from descompress.runtimes import BACKENDS, Runtime, open_model
from descompress.runtimes.facts import KEY

NETWORKS = ("hardnet", "hardnet.cdp5", "hardnet.depthwise")
GRAPHS = {"naive": None, **{name: (name,) for name in REWRITES}, "all": REWRITES}
LEAST = 0.02  # seconds of a turn


def graph(net: Net, module: nn.Module, calibration: list[np.ndarray]) -> bytes:
    """The ONNX file of a module that does what `net` does; in int8 with something to see."""
    example, batch = torch.rand(2, 1, 32, 32), torch.export.Dim("batch")
    program = torch.onnx.export(
        module.eval(),
        (example,),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: batch},),
        input_names=["patches"],
        output_names=["descriptors"],
        opset_version=18,
    )
    assert program is not None
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, facts_of(net).to_json()
    return (quantised(model, calibration) if calibration else model).SerializeToString()


def runtimes(name: str, threads: int, calibration: list[np.ndarray]) -> dict[str, list[Runtime]]:
    """Every graph of a network, in the order of `GRAPHS`, by backend."""
    net = load(name)
    modules = [rewritten(net, only) if only else net for only in GRAPHS.values()]
    models = [graph(net, module, calibration) for module in modules]
    return {
        backend: [open_model(model, backend, threads=threads) for model in models]
        for backend in BACKENDS
    }


@click.command()
@click.argument("names", metavar="NET...", nargs=-1)
@click.option("--batch", default=64, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--int8", is_flag=True, help="The same graphs in int8.")
def main(names: tuple[str, ...], batch: int, threads: int, rounds: int, int8: bool) -> None:  # noqa: FBT001
    """Print a table."""
    logging.disable(logging.WARNING)  # of the exporter, on what does not matter here
    warnings.simplefilter("ignore")
    patches = inputs.patches(batch)
    calibration = [inputs.patches(256)] if int8 else []
    click.echo("| network | backend | " + " | ".join(GRAPHS) + " |")
    click.echo("| --- | --- |" + " ---: |" * len(GRAPHS))
    for name in names or NETWORKS:
        with threads_set(threads):
            found = runtimes(name, threads, calibration)
            every = [lambda run=run: run(patches) for runs in found.values() for run in runs]
            seconds = in_turns(every, Turns(rounds, LEAST)) / batch * 1e6
        for number, backend in enumerate(found):
            mine = seconds[:, number * len(GRAPHS) :][:, : len(GRAPHS)]
            cells = " | ".join(cell(column, mine[:, 0]) for column in mine.T)
            click.echo(f"| {name} | {backend} | {cells} |")


def cell(times: np.ndarray, naive: np.ndarray) -> str:
    """Median, middle half, and how many times as fast as the naive graph."""
    timing, ratio = Timing.of(times), Timing.of(naive / times)
    return f"{timing.median:.0f} ({timing.low:.0f}-{timing.high:.0f}), {ratio.median:.2f}x"


if __name__ == "__main__":
    main()
