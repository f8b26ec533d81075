"""A training on disk: its checkpoint, its log and the network it ends with."""

import csv
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

from hpatches_eval.files import refuse_existing, replacing

from . import artifacts
from .data import Source, stream
from .errors import FileError
from .training import Training
from .validation import Validation

COLUMNS = ("step", "loss", "matching", "fpr95")


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a training, as it stands in the log.

    Args:
        step: Steps done.
        loss: Of the batch of this step.
        matching, fpr95: On held-out data after this step, where it was validated.
    """

    step: int
    loss: float
    matching: float | None = None
    fpr95: float | None = None


@dataclass(frozen=True)
class Run:
    """A training, and the files it keeps beside `out`: `out`.ckpt and `out`.csv.

    Args:
        workers: Processes that make batches.
        checkpoint_every, validate_every: In steps.
    """

    out: Path
    training: Training
    source: Source
    validation: Validation
    workers: int = 1
    checkpoint_every: int = 100
    validate_every: int = 500

    @property
    def checkpoint(self) -> Path:
        """Lies beside the network, and is deleted when that is written."""
        return self.out.with_name(f"{self.out.name}.ckpt")

    @property
    def log(self) -> Path:
        """A table of `COLUMNS`, a row a step."""
        return self.out.with_name(f"{self.out.name}.csv")

    def start(self, *, force: bool) -> int:
        """Take up the checkpoint if there is one; the step to go on from.

        Raises:
            OutputError: `out` exists and is not to be replaced.
            FileError: The checkpoint is of another training, or the log is not one.
        """
        refuse_existing(self.out, force=force)
        if self.checkpoint.exists():
            self.training.restore(self.checkpoint)
        kept = [row for row in self._logged() if int(row[0]) <= self.training.step]
        with replacing(self.log, force=True) as new, new.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *kept])
        return self.training.step

    def rows(self) -> Iterator[Row]:
        """Train to the end and write the network; a row after every step.

        However this ends (an error, a closed generator, Ctrl-C), the last step is saved first.
        """
        plan = self.training.plan
        batches = stream(self.source, self.training.step, plan.steps, self.workers)
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("a", newline=""))
            stack.callback(self._save, log)
            for terms in self.training.run(batches):
                row = self._row(sum(terms.values()))
                csv.writer(log).writerow(["" if v is None else v for v in astuple(row)])
                if row.step % self.checkpoint_every == 0 and row.step < plan.steps:
                    self._save(log)
                yield row
        artifacts.save(self.training.net.eval(), self.out, force=True)
        self.checkpoint.unlink(missing_ok=True)

    def _row(self, loss: float) -> Row:
        step, net = self.training.step, self.training.net
        if step % self.validate_every and step != self.training.plan.steps:
            return Row(step, loss)
        return Row(step, loss, self.validation.matching(net), self.validation.fpr95(net))

    def _save(self, log: IO[str]) -> None:
        """The log first: rows beyond the checkpoint are cut when it is taken up, gaps stay."""
        log.flush()
        os.fsync(log.fileno())
        self.training.save(self.checkpoint)

    def _logged(self) -> list[list[str]]:
        if not self.log.exists() or not self.training.step:
            return []
        with self.log.open(newline="") as file:
            header, *rows = csv.reader(file)
        if tuple(header) != COLUMNS:
            raise FileError(f"{self.log}: not the log of a training; move it away")
        return [row for row in rows if len(row) == len(COLUMNS) and row[0].isdigit()]
