"""Options that take several values after one name, as argparse's nargs="+" does and nnU-Net's users expect."""

from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand


class SeveralValues(TyperCommand):
    """`--folds 0 1 2` for options that may be repeated: the same as `--folds 0 --folds 1 --folds 2`.

    What follows such an option is its own until the next option, so arguments without a name come first.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in (*option.opts,)}
        return super().parse_args(ctx, list(with_repeated_names(args, repeatable)))


def with_repeated_names(args: Iterable[str], repeatable: set[str]) -> Iterator[str]:
    """
    >>> list(with_repeated_names(["501", "--folds", "0", "1", "--seed", "3"], {"--folds"}))
    ['501', '--folds', '0', '--folds', '1', '--seed', '3']
    """
    name, first = None, False
    for arg in args:
        if arg.startswith("-") and not _is_number(arg):
            name, first = (arg, True) if arg in repeatable else (None, False)
        elif name is not None:
            if not first:
                yield name
            first = False
        yield arg


def _is_number(text: str) -> bool:
    return text[1:2].isdigit() or text[1:2] == "."
