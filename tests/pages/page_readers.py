"""What a reader of the pages has at hand, small, and what is left out of a command's run.

Every command of a page runs with the words that the page shows, then those of SMALL: of an option
that is given twice the last counts. Commands in UNTRIED are read by their programs, not run.
"""

from page_blocks import Command

FOREVER = "takes minutes, or fetches; its own tests run it"
GLOBS = "a shell finds the files"
ELSEWHERE = "takes seconds, and another page runs much the same"
SHELF = "writes to the folder of the shipped weights"
WHOLE = "needs all sequences of HPatches"
_BRIEFLY = "--steps 2 --batch 32 --workers 0 --views 1 --height 64 --width 64"

SMALL = {  # by the first words of a command
    ("descompress", "pack"): "--batches 2 --batch 32 --workers 0",
    ("descompress", "distill"): f"{_BRIEFLY} --calibrate 64",
    ("descompress", "train"): _BRIEFLY,
    ("descompress", "train", "l2net"): f"{_BRIEFLY} --arg widths=8,8,16,16,16,16",
    ("descompress", "prune"): f"{_BRIEFLY} --joint-steps 2",
    ("descompress", "eval"): "--pairs 100 --size 200",
    ("hpatches-eval", "synthesize"): "--force",
    ("hpatches-eval", "extract"): "--patches 8 --force",
}

_ON_PATCHES = ("--int8", "--calibrate", "patches/")
UNTRIED = {  # and why
    ("descompress", "bench"): FOREVER,
    ("descompress", "search"): FOREVER,
    ("descompress", "data", "get"): FOREVER,
    ("descompress", "train", "vgg16"): FOREVER,
    ("descompress", "prune", "net.safetensors"): FOREVER,
    ("descompress", "train", "superpoint"): FOREVER,
    ("descompress", "train", "weights/recipes/superpoint.shapes.toml"): FOREVER,
    ("descompress", "train", "weights/recipes/superpoint.points.toml"): FOREVER,
    ("descompress", "train", "weights/recipes/superpoint.first.toml"): FOREVER,
    ("descompress", "convert", "superpoint.first.safetensors"): FOREVER,
    ("descompress", "train", "weights/recipes/superpoint.toml"): FOREVER,
    ("descompress", "distill", "cdp5", "lighter.safetensors"): FOREVER,
    ("descompress", "eval", "liberty.safetensors"): WHOLE,
    ("descompress", "eval", "hardnet", "hardnet.cdp10"): ELSEWHERE,
    ("descompress", "eval", "hardnet", "small.safetensors", "distilled.safetensors"): ELSEWHERE,
    ("descompress", "eval", "superpoint", "hardnet"): ELSEWHERE,
    ("descompress", "export", "hardnet.tiny", "tiny8.onnx"): ELSEWHERE,
    ("descompress", "export", "hardnet.tiny", "tiny.int8.onnx"): ELSEWHERE,
    ("descompress", "export", "superpoint", "sp8.onnx"): ELSEWHERE,
    ("descompress", "export", "hardnet.tiny", "tiny.onnx", *_ON_PATCHES): ELSEWHERE,
    ("descompress", "match", "a.jpg", "b.jpg", "tiny.onnx"): ELSEWHERE,
    ("descompress", "train", "start.cdp5.safetensors"): ELSEWHERE,
    ("descompress", "eval", "OUT/*.safetensors"): GLOBS,
    ("descompress", "eval", "weights/hardnet*.safetensors"): GLOBS,
    ("descompress", "eval", "weights/superpoint*.safetensors"): GLOBS,
    ("descompress", "convert", "TRAINED"): SHELF,
    ("descompress", "weights", "index"): SHELF,
    ("descompress", "weights", "table", "--into"): SHELF,
    (
        "descompress",
        "distill",
        "weights/recipes/hardnet.tiny.first.toml",
        "small.safetensors",
    ): ELSEWHERE,
}

HAS = {  # by page, names in the folder it is read in: see `material`
    "cookbook.md": "photographs weights data",
    "README.md": "photographs patches sequences a.jpg b.jpg",
    "images.md": "photographs sequences a.jpg b.jpg weights",
    "integrations.md": "photographs",
    "pruning.md": "PHOTOGRAPHS STRECHA PACK PATCHES",
    "runtimes.md": "photographs patches SEQUENCES",
    "training.md": "PHOTOGRAPHS STRECHA weights",
    "weights/README.md": "photographs weights",
}


def reduced(command: Command) -> list[str] | None:
    """The words to run a command with; None if it is not run."""
    if command.words[0] not in ("descompress", "hpatches-eval") or chosen(UNTRIED, command):
        return None
    more = chosen(SMALL, command) or ""
    return [*command.words, *more.split()]


def chosen(table: dict[tuple[str, ...], str], command: Command) -> str | None:
    """What the table says of a command: by most of its first words."""
    known = [words for words in table if command.begins_with(*words)]
    return table[max(known, key=len)] if known else None
