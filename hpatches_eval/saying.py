"""A command as others can give it."""

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

import click
from click.core import ParameterSource


def said(context: click.Context, unsaid: Collection[str], program: str = "descompress") -> str:
    """The command of a context: paths by their last names, without some of its parameters.

    Args:
        unsaid: Names of parameters, such as those of outputs.
    """
    words = (
        word
        for parameter in context.command.params
        if parameter.name not in unsaid
        for word in _words(parameter, context)
    )
    return shlex.join([program, str(context.info_name), *words])


def _words(parameter: click.Parameter, context: click.Context) -> Iterator[str]:
    name = str(parameter.name)
    if context.get_parameter_source(name) is ParameterSource.DEFAULT:
        return
    value = context.params[name]
    if isinstance(parameter, click.Option) and parameter.is_flag:
        yield parameter.opts[0]
        return
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
        yield _named(one)


def _named(value: object) -> str:
    """A path by its last name, also one that is given as a word."""
    path = Path(str(value))
    is_path = isinstance(value, Path) or (len(path.parts) > 1 and path.exists())
    return path.absolute().name if is_path else str(value)
