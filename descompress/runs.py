"""A training on disk: its checkpoint, its logs and the network it ends with.

Of several processes that train one network, the first alone validates and writes.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, runtime_checkable

from torch import nn

from hpatches_eval.files import refuse_existing, replacing

from . import artifacts, processes
from .data import Source, stream
from .errors import FileError, RequestError, TrainingError
from .interrupts import interrupts_held
from .locks import locked
from .training import Training

STEP = re.compile("[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a training, as it stands in the log.

    Args:
        step: Steps done.
        loss: Of the batch of this step, the sum of `terms`.
        terms: Of the objective, each times its weight.
        held: On held-out data after this step, by name, where it was validated.
    """

    step: int
    loss: float
    terms: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)

    def numbers(self) -> dict[str, int | float]:
        """All there is, by name."""
        return {"step": self.step, "loss": self.loss, **self.terms, **self.held}


@runtime_checkable
class Measures(Protocol):
    """Data that a network is validated on."""

    names: ClassVar[tuple[str, ...]]  # of the numbers; the first says which network is better

    def measured(self, net: nn.Module) -> dict[str, float]:
        """The numbers there are, by name."""
        ...


def checkpoint_of(out: Path) -> Path:
    """Where a training that is to write `out` keeps its checkpoint."""
    return out.with_name(f"{out.name}.ckpt")


@dataclass(frozen=True)
class Run:
    """A training, and the files it keeps beside `out`: `out`.ckpt and `out`.csv.

    Args:
        workers: Processes that make batches.
        checkpoint_every, validate_every: In steps.
        tensorboard: A folder for TensorBoard to read, if it is to.
    """

    out: Path
    training: Training
    source: Source
    validation: Measures
    workers: int = 1
    checkpoint_every: int = 100
    validate_every: int = 500
    tensorboard: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """Lies beside the network, and is deleted when that is written."""
        return checkpoint_of(self.out)

    @property
    def log(self) -> Path:
        """A table of `columns`, a row a step."""
        return self.out.with_name(f"{self.out.name}.csv")

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the log: the step, the loss and its terms, and the numbers of the validation."""
        return ("step", "loss", *self.training.objective.terms, *self.validation.names)

    def start(self, *, force: bool) -> int:
        """Take up the checkpoint if there is one; the step to go on from.

        Raises:
            OutputError: `out` exists and is not to be replaced.
            FileError: The checkpoint is of another training, the log is not one, or another process
                writes the same network.
        """
        refuse_existing(self.out, force=force)
        if self.checkpoint.exists():
            self.training.restore(self.checkpoint)
        if processes.rank() == 0:
            with locked(self.out, wait=False):  # or else the log of another process is cut
                if self.training.step:
                    self._cut_log()
        processes.wait_for_all()
        return self.training.step

    def _cut_log(self) -> None:
        """Leave the rows up to the step to go on from."""
        self._keep([row for row in self._logged() if int(row[0]) <= self.training.step])

    def _keep(self, rows: Iterable[Sequence[object]]) -> None:
        with replacing(self.log, force=True) as new, new.open("w", newline="") as file:
            csv.writer(file).writerows([self.columns, *rows])

    def rows(self) -> Iterator[Row]:
        """Train to the end and write the network; a row after every step.

        However this ends (a closed generator, Ctrl-C, an error elsewhere), the last step is saved
        first; an error within a step leaves the last checkpoint.

        Raises:
            TrainingError: See `Training.run`.
            FileError: Another process writes the same network.
        """
        batches = stream(self.source, self.training.numbers, self.workers)
        if processes.rank() > 0:
            for _ in self.training.run(batches):
                yield self.row
            return
        with locked(self.out, wait=False):
            yield from self._first_rows(batches)
            if self.training.step < self.training.plan.steps:
                raise TrainingError(f"{self.out}: the batches end at step {self.training.step}")
            artifacts.save(self.training.result.eval(), self.out, force=True)  # pyright: ignore
            self.checkpoint.unlink(missing_ok=True)

    def _first_rows(self, batches: Iterable[Any]) -> Iterator[Row]:
        """The rows of the process that writes."""
        with ExitStack() as stack:
            missed = self._missed()
            log = _Log(self, stack)
            stack.callback(self._leave, log, self.training.step)
            if missed is not None:
                log.write(missed)
                log.flush()
                yield missed
            for _ in self.training.run(batches):
                row = self._validated(self.row)
                log.write(row)
                if row.step % self.checkpoint_every == 0 and row.step < self.training.plan.steps:
                    self._save(log)
                yield row

    def _missed(self) -> Row | None:
        """The last row of the log, taken from there, if its validation was broken off; done now."""
        *before, last = self._logged() or [["0"]]
        place = len(self.columns) - len(self.validation.names)
        if int(last[0]) != self.training.step or any(last[place:]) or not self._due(int(last[0])):
            return None
        loss, *terms = map(float, last[1:place])
        named = dict(zip(self.training.objective.terms, terms, strict=True))
        row = self._validated(Row(int(last[0]), loss, named))
        self._keep(before)
        return row

    def marks(self) -> list[float]:
        """The first number of each validation so far, as the log of a run begun has it.

        Raises:
            FileError: The log is damaged.
        """
        place = self.columns.index(self.validation.names[0])
        try:
            return [float(row[place]) for row in self._logged() if row[place]]
        except ValueError as error:
            raise FileError(f"{self.log}: not the log of this training ({error})") from error

    @property
    def row(self) -> Row:
        """The last step, not validated."""
        terms = self.training.terms
        return Row(self.training.step, sum(terms.values()), terms)

    def _due(self, step: int) -> bool:
        return step > 0 and (not step % self.validate_every or step == self.training.plan.steps)

    def _validated(self, row: Row) -> Row:
        if not self._due(row.step):
            return row
        return replace(row, held=self.validation.measured(self.training.result))

    def _leave(self, log: "_Log", first: int) -> None:
        """Keep what was learned, unless an error tore the last step; nothing leaves nothing."""
        if not self.training.torn and self.training.step > first:
            self._save(log)
        elif not self.checkpoint.exists() and log.file is not None:
            self.log.unlink(missing_ok=True)

    def _save(self, log: "_Log") -> None:
        """The log first: rows beyond the checkpoint are cut when it is taken up, gaps stay."""
        if log.step < self.training.step:  # it was broken off before it was written, or validated
            log.write(self.row)
        log.flush()
        self.training.save(self.checkpoint)

    def _logged(self) -> list[list[str]]:
        if not self.log.exists() or not self.training.step:
            return []
        try:
            with self.log.open(newline="", encoding="utf-8") as file:
                header, *rows = [*csv.reader(file)] or [[]]
        except (OSError, ValueError, csv.Error):
            header, rows = [], []
        if tuple(header) != self.columns:
            raise FileError(f"{self.log}: not the log of this training; move it away")
        return [row for row in rows if len(row) == len(self.columns) and STEP.fullmatch(row[0])]


class _Log:
    """The table, and TensorBoard's copy of it; `step` is that of the last row.

    Before the first row of a new table there is none: that of a training before it stays.
    """

    def __init__(self, run: Run, stack: ExitStack) -> None:
        self.columns, self.held = run.columns, run.validation.names
        self.path, self.step = run.log, run.training.step
        self.file: IO[str] | None = self._opened("a") if self.step else None
        stack.callback(self.close)
        self.board = _board(run, stack) if run.tensorboard else None

    def write(self, row: Row) -> None:
        with interrupts_held():
            self._write(row.step, row.numbers())
            self.step = row.step

    def _write(self, step: int, numbers: Mapping[str, float | int]) -> None:
        if self.file is None:
            self.file = self._opened("w")
            csv.writer(self.file).writerow(self.columns)
        csv.writer(self.file).writerow([numbers.get(name, "") for name in self.columns])
        if self.board is not None:
            for name, value in numbers.items():
                group = "held_out" if name in self.held else "train"
                self.board.add_scalar(f"{group}/{name}", value, step)

    def _opened(self, mode: str) -> IO[str]:
        return self.path.open(mode, newline="")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def flush(self) -> None:
        if self.file is not None:
            self.file.flush()
            os.fsync(self.file.fileno())


def _board(run: Run, stack: ExitStack) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RequestError(
            "TensorBoard's logs need its package: pip install 'descompress[tensorboard]'"
        ) from None
    try:
        writer = SummaryWriter(run.tensorboard, purge_step=run.training.step + 1)
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"{run.tensorboard}: no folder for TensorBoard's logs ({reason})") from None
    stack.callback(writer.close)
    return writer
