"""A pruning on disk: channels are found, then what is left is trained. Both can be stopped.

Beside `out` lies a folder `out`.parts while it lasts: what was asked for, the student as it was
cut out, its assistants, and the checkpoint of the cascade.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from hpatches_eval.files import discard, replacing, save_text
from hpatches_eval.progress import Progress, silent

from . import artifacts, shelf
from .costs import cost
from .data import Source, stream
from .data.mixture import Material
from .errors import FileError, RequestError
from .nets import Net
from .objectives import Weighted
from .pruning import (
    CASCADE,
    LEARNED,
    Budget,
    Cascade,
    Cascaded,
    Chooser,
    Pruning,
    Relay,
    Resources,
    Structured,
)
from .pruning.budgets import Scores, protected_groups
from .pruning.criteria import OF_WEIGHTS, magnitude, random, taylor
from .pruning.latency import in_macs, stopwatch, timed
from .pruning.masks import masked_
from .pruning.requests import BALANCED
from .recipes import Recipe
from .runs import Measures, Row, Run, checkpoint_of
from .settling import TRAINED, parts_of
from .slimming import layout_of, narrowed
from .students import Teachers, looked_at, prepare
from .teachers import digest
from .training import Training

BATCHES = 16  # that the Taylor criterion looks at

Prepared = tuple[Training, Source, Measures]
MakeRun = Callable[[Path, Prepared], Run]


@dataclass(frozen=True)
class Pipeline:
    """The two phases of pruning `recipe.start`.

    Args:
        recipe: With `prune`; its objectives are those of each model, its plan that of fine-tuning.
        run: Makes the run of a prepared training that writes to a path.
    """

    recipe: Recipe
    out: Path
    material: Material
    pack: Path | None
    device: str
    run: MakeRun
    progress: Progress = silent

    @property
    def parts(self) -> Path:
        """The folder of intermediate results."""
        return parts_of(self.out)

    @property
    def student(self) -> Path:
        """The student as it was cut out."""
        return self.parts / "student.safetensors"

    @property
    def asked(self) -> Pruning:
        """What was asked for.

        Raises:
            RequestError: Nothing.
        """
        if self.recipe.prune is None:
            raise RequestError("nothing to prune: the recipe has no table [prune]")
        return self.recipe.prune

    def begin(self) -> None:
        """Make the folder, or take it up.

        Raises:
            FileError: It is of another pruning, or what is to be pruned cannot be read.
            RequestError: The objectives are of another kind of network.
        """
        start = self.net
        self.recipe.objectives.fit(looked_at(type(start)))
        told = {**self.recipe.to_dict(), "is": digest(start)}
        asked = json.dumps(told, sort_keys=True)
        file = self.parts / "asked.json"
        if not self.parts.exists():
            with replacing(self.parts) as new:
                new.mkdir()
                (new / file.name).write_text(asked)
        elif not file.is_file() or file.read_text() != asked:
            raise FileError(
                f"{self.parts}: left by another pruning; ask for the same, or delete it to start "
                f"anew"
            )

    def leave(self) -> None:
        """Delete the folder, unless it holds a training to go on from."""
        learned = self.asked.criterion in LEARNED and self.student.exists()
        if not learned and not any(self.parts.glob("*.ckpt")) and not self._is_begun():
            self.end()

    def _is_begun(self) -> bool:
        return checkpoint_of(self.out).exists()

    def measured(self, small: Net) -> tuple[float, float]:
        """What the budget is of: what `small` has, and what is allowed.

        Seconds are those of `PATCHES` inputs, on this machine's CPU.
        """
        budget, whole = self.asked.budget, self.net
        if budget.kind == "latency":
            own, all_of_it = timed(small, whole, cost(whole).shape)
        elif budget.kind == "channels":
            own, all_of_it = (float(sum(layout_of(n).removable.values())) for n in (small, whole))
        else:
            own, all_of_it = (float(getattr(cost(net), budget.kind)) for net in (small, whole))
        return own, budget.value * (all_of_it if budget.share else 1)

    def end(self) -> None:
        """Delete the folder."""
        discard(self.parts)

    def learned(self) -> Run | None:
        """The phase that learns what to keep, if there is one and it is not done.

        Raises:
            RequestError: The budget is out of reach.
        """
        asked = self.asked
        if asked.criterion not in LEARNED or self.student.exists():
            return None
        terms, budget, first = self.recipe.objectives, self._budget(), asked.prune_first
        if asked.criterion == CASCADE:
            objective = Cascaded(terms, budget, asked.assistants, first, asked.hints)
        else:
            objective = Structured(terms, budget, first)
        plan = replace(  # an average has no masks; the rate falls when channels stay
            self.recipe.plan, steps=asked.steps, schedule="constant", ema=0.0
        )
        terms = Weighted({asked.criterion: (1.0, objective)})
        together = replace(self.recipe, objectives=terms, plan=plan)
        return self.run(self.student, self._prepared(together))

    def together(self, run: Run) -> Iterator[Row]:
        """The rows of the joint phase; at its end the assistants are written, then the student."""
        if run.training.step == run.training.plan.steps:  # stopped between the two
            self._keep_assistants(run)
        for row in run.rows():
            if row.step == run.training.plan.steps:
                self._keep_assistants(run)
            yield row

    def _keep_assistants(self, run: Run) -> None:
        cascade = run.training.learner.companions[self.asked.criterion]
        if not isinstance(cascade, Cascade):
            return
        for i in range(1, self.asked.assistants + 1):
            net = cascade.model(i).eval()
            artifacts.save(net, self._assistant(i), force=True)  # pyright: ignore

    def choose(self) -> None:
        """Cut the student out by a criterion that needs no training, if that is not done.

        Raises:
            RequestError: The budget is out of reach.
        """
        if self.asked.criterion in LEARNED or self.student.exists():
            return
        net = self.net
        layout = layout_of(net)
        kept = self._chooser(net).kept(self._scores(net), self.asked.budget)
        artifacts.save(narrowed(net, layout, kept).eval(), self.student)

    def last(self, run: Run, relay: Relay | None) -> Iterator[Row]:
        """The rows of the fine-tuning; after the last one nothing is missing but `out`."""
        for row in followed(run, relay):
            if row.step == run.training.plan.steps:
                save_text(self.parts / TRAINED, "", force=True)
            yield row

    def finetune(self) -> tuple[Run, Relay | None]:
        """The fine-tuning of the student, and its teachers if they are several."""
        steps = self.recipe.plan.steps
        if self.asked.criterion not in LEARNED:
            steps += self.asked.steps  # as many in all as where they are learned
        plan = replace(self.recipe.plan, steps=steps)
        alone = replace(self.recipe, start=str(self.student), plan=plan)
        count = self.asked.assistants if self.asked.criterion == CASCADE else 0
        found = [artifacts.load(self._assistant(i)) for i in range(1, count + 1)]
        prepared = self._prepared(alone, self._relay(found) if found else None)
        run = self.run(self.out, prepared)
        teacher = prepared[0].teacher
        return run, teacher if isinstance(teacher, Relay) else None

    def _relay(self, assistants: Sequence[nn.Module]) -> Teachers:
        def follow(teacher: nn.Module, validation: Measures) -> nn.Module:
            nets = [*(net.to(self.device) for net in assistants), teacher]
            first = validation.names[0]
            marks = [validation.measured(net).get(first) for net in nets]
            known = [mark for mark in marks if mark is not None]
            return Relay(nets, known) if len(known) == len(nets) else teacher

        return follow

    def _prepared(
        self,
        recipe: Recipe,
        teachers: Teachers | None = None,
    ) -> Prepared:
        return prepare(
            recipe,
            self.material,
            self.pack,
            device=self.device,
            progress=self.progress,
            teachers=teachers,
        )

    def _assistant(self, number: int) -> Path:
        return self.parts / f"assistant{number}.safetensors"

    @cached_property
    def net(self) -> Net:
        """What is pruned, as it is; read once, for `out` may replace it.

        Raises:
            FileError, RequestError: It cannot be read.
        """
        return shelf.load(self.recipe.start)

    def _chooser(self, net: Net) -> Chooser:
        layout = layout_of(net)
        protected = protected_groups(layout, prune_first=self.asked.prune_first)
        time = None
        if self.asked.budget.kind == "latency":
            time = stopwatch(net, layout, cost(net).shape)
        balanced = self.asked.criterion in BALANCED
        return Chooser(Resources(net, layout), protected, time, balanced)

    def _budget(self) -> Budget:
        """The budget as the joint phase can follow it."""
        if self.asked.budget.kind != "latency":
            return self.asked.budget
        file = self.parts / "macs.json"  # a second measurement would ask for another number
        if not file.exists():
            net = self.net
            found = in_macs(self._chooser(net), self.asked.budget, magnitude(net, layout_of(net)))
            with replacing(file) as new:
                new.write_text(json.dumps(found.value))
        return Budget("macs", float(json.loads(file.read_text())), share=False)

    def _scores(self, net: Net) -> Scores:
        layout = layout_of(net)
        if self.asked.criterion == "random":
            return random(layout, self.recipe.seed)
        if self.asked.criterion == "taylor":
            return self._taylor()
        return OF_WEIGHTS[self.asked.criterion](net, layout)

    def _taylor(self) -> Scores:
        still = replace(self.recipe.plan, steps=BATCHES, lr=0.0, weight_decay=0.0)
        training, source, _ = self._prepared(replace(self.recipe, plan=still))
        masks = masked_(training.net, layout_of(training.net))
        steps = training.run(stream(source, training.numbers, 0))
        return taylor(masks, lambda: next(steps, None) is not None)


def followed(run: Run, relay: Relay | None) -> Iterator[Row]:
    """The rows of a fine-tuning whose teacher changes as the student gets better."""
    if relay is not None:
        for mark in run.marks():
            relay.follow(mark)
    for row in run.rows():
        if relay is not None:
            relay.follow(row.held.get(run.validation.names[0]))
        yield row
