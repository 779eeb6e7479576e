"""The command line: one module a command, each loaded only when it is called.

A command parses, calls the Python function of the same name, and prints; what it prints
and how it fails is decided here once.
"""

from __future__ import annotations

import importlib

import click

from effnet_lite import __version__
from effnet_lite.cli.output import ARGUMENTS
from effnet_lite.errors import EffnetLiteError

#: Command → what `effnet-lite --help` says of it. The module has the command's name.
COMMANDS = {
    "convert": "Make a checked .tflite: build, load weights, quantize, describe.",
    "classify": "Name what is in photos.",
    "compare": "Measure a quantized model against its float parent.",
    "evaluate": "Measure accuracy on labelled photos, of one model or of several.",
    "sweep": "Rank variants, recipes and files: convert, time, evaluate, draw.",
    "report": "Draw one page, which needs nothing else, from results in JSON.",
    "explain": "Draw what models look at in photos, and how well they agree.",
    "inspect": "Show what is inside a .tflite file.",
    "train": "Train on your photos, then the int8 network itself.",
    "benchmark": "Time models on this machine and on phones, layer by layer.",
    "edgetpu": "Know what the Edge TPU runs, compile for it, list devices.",
    "android": "Put a model into an Android project, and say what to paste.",
    "variants": "List the variants with their size and cost.",
    "doctor": "Say what is installed, what works, and what to install.",
}


class LazyGroup(click.Group):
    """Loads a command's module when the command is called, not for ``--help``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"effnet_lite.cli.{cmd_name}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, so that no module is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for an unknown one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not near or near[0] in error.message:
                raise
            message = f"{error.message.rstrip('.')}; did you mean {near[0]!r}?"
            raise click.UsageError(message, error.ctx) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words, which JSON documents tell."""
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Turn the package's own errors into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except EffnetLiteError as error:
            message = " ".join(str(error).split())
            click.echo(f"effnet-lite: {message}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("effnet-lite: interrupted; no file is left half-written", err=True)
            ctx.exit(1)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: effnet-lite convert --variant lite0 --int8",
)
@click.version_option(__version__, prog_name="effnet-lite")
def main() -> None:
    """EfficientNet from weights to a phone: build, quantize, check and measure TFLite models."""
