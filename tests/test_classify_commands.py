"""`descompress train`, `distill` and `prune` of classifiers."""

import csv
from pathlib import Path

import pytest
import torch
from calls import run

import descompress
from descompress.data.labelled import read_labelled
from descompress.judging import Accuracy
from descompress.nets import build
from descompress.spec import Spec

pytest.importorskip("sklearn")

SMALL = {"widths": (8, 8, 12, 12, *(16,) * 9), "hidden": 8}
DIGITS = ("--task", "classify", "--labelled", "digits", "--workers", "0", "--float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("classifying")
    widths = "widths=" + ",".join(map(str, SMALL["widths"]))
    shape = ("--arg", widths, "--arg", "hidden=8", "--batch", "64", "--lr", "0.01")
    steps = ("--steps", "60", "--validate-every", "30")
    status, said = run("train", "vgg16", root / "net.safetensors", *shape, *steps, *DIGITS)
    assert status == 0, said
    assert "held out: accuracy 0." in said
    return root


def accuracy(root: Path, name: str) -> float:
    digits = read_labelled("digits")
    test = Accuracy(digits.test, digits.standard)
    return test.measured(descompress.load(root / name))["accuracy"]


def test_a_classifier_is_trained_for_the_classes_of_the_images(trained):
    net = descompress.load(trained / "net.safetensors")
    assert (net.spec.args["classes"], net.spec.args["in_channels"]) == (10, 1)
    assert accuracy(trained, "net.safetensors") > 0.3  # chance is 0.1
    rows = list(csv.DictReader((trained / "net.safetensors.csv").read_text().splitlines()))
    assert list(rows[0]) == ["step", "loss", "cross_entropy", "accuracy"]


@pytest.mark.parametrize("criterion", ["cascade", "structure", "uniform"])
def test_a_classifier_is_pruned(trained, criterion):
    out = trained / f"{criterion}.safetensors"
    steps = ("--steps", "4", "--joint-steps", "4", "--batch", "32", "--assistants", "1")
    budget = ("--macs", "0.5", "--criterion", criterion)
    status, said = run("prune", trained / "net.safetensors", out, *budget, *steps, *DIGITS)
    assert status == 0, said
    whole, small = (
        descompress.cost(descompress.load(f)) for f in (trained / "net.safetensors", out)
    )
    assert small.macs <= 0.5 * whole.macs
    head = (trained / f"{out.name}.csv").read_text().splitlines()[0]
    assert head == "step,loss,cross_entropy,soft_labels,accuracy"


def test_a_smaller_classifier_is_distilled(trained):
    out = trained / "cdp.safetensors"
    net = trained / "net.safetensors"
    args = ("distill", "cdp2@2-4", out, "--teacher", net, "--steps", "2", "--batch", "16")
    status, said = run(*args, *DIGITS)
    assert status == 0, said
    assert len(descompress.load(out).spec.layers) == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "l2net", *DIGITS], "l2net has no argument|l2net is no classifier"),
        (
            ["train", "vgg16", "--task", "classify"],
            "--task classify and --labelled digits|FOLDER go",
        ),
        (["train", "vgg16", *DIGITS, "--photographs", "."], "give them alone"),
        (["train", "vgg16", "--photographs", "."], "vgg16 is a classifier: it needs --labelled"),
        (["train", "vgg16", *DIGITS, "--objective", "triplet"], "triplet: an objective of descrip"),
        (["train", "NET", *DIGITS, "--labelled", "nowhere"], "nowhere"),
        (["train", "WRONG", *DIGITS], "and the images have {'classes': 10, 'in_channels': 1}"),
    ],
)
def test_what_does_not_fit_is_refused(trained, args, message, tmp_path):
    torch.manual_seed(0)
    wrong = tmp_path / "wrong.safetensors"
    descompress.save(build(Spec("vgg16", {**SMALL, "classes": 3})), wrong)
    named = {"NET": trained / "net.safetensors", "WRONG": wrong}
    verb, net, *rest = args
    status, said = run(verb, named.get(net, net), tmp_path / "out.safetensors", *rest, "--steps", 2)
    assert status in (1, 2)
    assert any(part in said for part in message.split("|")), said
    assert not (tmp_path / "out.safetensors").exists()


def test_accuracy_is_over_all_images_whatever_the_batches():
    digits = read_labelled("digits")
    part = digits.test.part(torch.arange(300).numpy())

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.eye(10)[0].expand(len(x), 10)

    zeros = float((part.labels == 0).mean())
    assert Accuracy(part, digits.standard).measured(First())["accuracy"] == pytest.approx(zeros)
