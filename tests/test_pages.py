"""The Python of the pages in docs runs, block after block."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["integrations.md"])
def test_the_blocks_of_a_page_run_one_after_the_other(page, discs, tmp_path):
    """With small stand-ins for what the page says the reader has."""
    pytest.importorskip("kornia.feature")
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    image = discs(1, (90, 132), 40, 12)
    pictures = torch.stack([torch.from_numpy(discs(k, (90, 132), 40, 12)) for k in (1, 2)])
    images = pictures[:, None].float() / 255
    have = {"image": image, "images": images, "folder": tmp_path, "clone": str(ROOT)}
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python")
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block[1], str(ROOT / "docs" / page), "exec"), have)
    assert len(have["keypoints"]) == len(have["matches"]) > 5
    assert len(have["seven"]) == 7
