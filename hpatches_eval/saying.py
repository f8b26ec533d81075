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
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
        yield one.absolute().name if isinstance(one, Path) else str(one)
