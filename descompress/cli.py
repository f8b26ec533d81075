"""The command line: one verb a module of `descompress.commands`, read when it is used."""

from importlib import import_module
from typing import Any

import click

from hpatches_eval.errors import EvalError

from .errors import DescompressError

# verb: (module in `commands`, function, one line of help); read here so that the list of verbs
# needs none of the modules.
VERBS = {
    "bench": ("bench", "bench", "Time networks on their backends, beside their peers."),
    "build": ("build", "build", "Write a network with random weights."),
    "colmap": ("colmap", "colmap", "Match described images, and write COLMAP's database."),
    "convert": ("convert", "convert", "Replace layers of a network by smaller ones."),
    "cost": ("cost", "cost", "Count parameters and multiply-accumulates."),
    "data": ("data", "data", "Fetch published data sets, and unpack them."),
    "demo": ("demo", "demo", "Convert a trained network and compare, on photographs at hand."),
    "describe": ("describe", "describe", "Find and describe keypoints of images."),
    "distill": ("train", "distill", "Train a small network to do what a large one does."),
    "eval": ("evaluate", "evaluate", "Evaluate networks on HPatches."),
    "export": ("export", "export", "Write a network as an ONNX file."),
    "import": ("import_", "import_", "Read a published checkpoint."),
    "match": ("match", "match", "Match two images, and draw it."),
    "pack": ("pack", "pack", "Make the batches of many trainings once."),
    "prune": ("prune", "prune", "Remove channels of a network, and train what is left."),
    "search": ("search", "search", "Find the best recipe under a budget of time or size."),
    "show": ("show", "show", "Say what a network file holds."),
    "train": ("train", "train", "Train a patch network."),
    "weights": ("weights", "weights", "Name the shipped networks, and write their index."),
}

TORCH = ("safetensors", "scipy", "tensorly", "torch")  # of the extra of this name


class Verbs(click.Group):
    """Imports a verb when it is called, and shows the package's errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in alphabetical order."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb called `cmd_name`; its module is imported."""
        if cmd_name not in VERBS:
            return None
        module, function, _ = VERBS[cmd_name]
        return getattr(import_module(f"descompress.commands.{module}"), function)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb][2]) for verb in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; every error of ours is one line and its exit status."""
        try:
            return super().invoke(ctx)
        except (DescompressError, EvalError) as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(error.exit_code)
        except ModuleNotFoundError as error:
            _missing(error)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("Interrupted", err=True)
            ctx.exit(130)


def _missing(error: ModuleNotFoundError) -> None:
    """Say what to install for a package that only some verbs need."""
    if error.name is None or error.name.split(".")[0] not in TORCH:
        raise error
    click.echo(
        f"Error: this needs {error.name}, which is not installed: pip install 'descompress[torch]'",
        err=True,
    )


@click.command(cls=Verbs)
@click.version_option(package_name="descompress")
def main() -> None:
    """Compress local-descriptor networks, and prove what it cost."""
