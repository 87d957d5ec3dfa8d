"""The command ``isthmus``: its commands, and how it says what went wrong."""

import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from isthmus.cli.commands import COMMANDS
from isthmus.cli.options import at_the_shell
from isthmus.cli.stopping import EXIT
from isthmus.errors import IsthmusError, guess

REFUSED = 2  # exit code


class Guessing(click.Group):
    """A group that guesses which command was meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are met, not by the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or say that there is none of that name."""
        if self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            meant = guess(args[0], known)
            ctx.fail(f"There is no command {args[0]!r}{meant}: use {', '.join(known)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Guessing,
    commands={str(command.name): command for command in COMMANDS},
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="isthmus", message="isthmus %(version)s")
@click.pass_context
def isthmus(ctx: click.Context) -> None:
    """Compress, learn features, remove noise and find outliers with autoencoders."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run the command line and return its exit code; what is refused is one sentence on stderr."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show
            code = isthmus.main(list(args), prog_name="isthmus", standalone_mode=False)
    except click.ClickException as error:
        return _refuse(sentence(error))
    except IsthmusError as error:
        return _refuse(at_the_shell(str(error), isthmus.commands.get(next(iter(args), ""))))
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return EXIT + signal.SIGINT
    return code if isinstance(code, int) else 0


def sentence(error: click.ClickException) -> str:
    """Return what click found wrong, and where to read how it is right."""
    ctx = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split()).rstrip(".")
    if isinstance(error, click.NoSuchOption):
        near = guess(error.option_name, error.possibilities or ())
        text = f"There is no option {error.option_name}{near}"
    return f"{text}; see '{ctx.command_path} --help'." if ctx is not None else f"{text}."


def _refuse(text: str) -> int:
    click.echo(f"{click.style('Error:', fg='red')} {text}", err=True)
    return REFUSED


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning without the line of code that it came from."""
    click.echo(f"{click.style('Warning:', fg='yellow')} {at_the_shell(str(message))}", err=True)


if __name__ == "__main__":
    main()
