import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import descompress
from descompress.errors import RequestError
from descompress.integrations.kornia import laf_descriptor, local_feature
from hpatches_eval.sequences import ImageSequence

kornia = pytest.importorskip("kornia.feature")
WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "hardnet.safetensors"


@pytest.fixture(scope="module")
def hardnet():
    return descompress.load(WEIGHTS)


@pytest.fixture(scope="module")
def pair(shared):
    """Two photographs of a wall painting from two sides, and the homography between them."""
    sequence = ImageSequence(shared / "sequences" / "v_graffiti")
    images = [torch.from_numpy(sequence.image(k))[None, None].float() / 255 for k in (1, 2)]
    return *images, sequence.homography(2)


def matched(feature: nn.Module, pair) -> tuple[int, int]:
    """Right and all mutual matches with the ratio test, by the true homography, within 3 pixels."""
    with torch.inference_mode():
        (lafs1, _, d1), (lafs2, _, d2) = (feature(image) for image in pair[:2])
        _, matches = kornia.match_smnn(d1[0], d2[0], 0.95)
    x1, x2 = (
        kornia.get_laf_center(lafs)[0][index].double().numpy()
        for lafs, index in ((lafs1, matches[:, 0]), (lafs2, matches[:, 1]))
    )
    mapped = cv2.perspectiveTransform(x1[None], pair[2])[0]
    return int((np.linalg.norm(mapped - x2, axis=1) < 3).sum()), len(matches)


def test_a_network_matches_a_real_pair_in_kornias_pipeline(hardnet, pair):
    right, total = matched(local_feature(hardnet, features=500), pair)
    assert right > 80
    assert right > 0.7 * total


def test_a_compressed_network_drops_in_for_the_original(hardnet, pair):
    small = descompress.convert(hardnet, "cdp15")
    right, _ = matched(local_feature(small, features=500), pair)
    random = descompress.build(hardnet.spec.net).eval()
    chance, _ = matched(local_feature(random, features=500), pair)
    assert right > chance


def test_lafs_are_described_as_their_patches_are(hardnet):
    image = torch.rand(1, 1, 120, 160)
    lafs = torch.tensor([[[[20.0, 3, 60], [-3, 20, 50]], [[9.0, 0, 90], [0, 9, 70]]]])
    patches = kornia.extract_patches_from_pyramid(image, lafs, 32)[0]
    with torch.inference_mode():
        described = laf_descriptor(hardnet)(image, lafs)
        torch.testing.assert_close(described[0], hardnet(patches))
    assert described.shape == (1, 2, 128)


def test_the_pipeline_can_be_copied_and_given_another_precision(hardnet):
    feature = copy.deepcopy(laf_descriptor(copy.deepcopy(hardnet)))
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    lafs = torch.tensor([[[[10.0, 0, 30], [0, 10, 30]]]], dtype=torch.float64)
    with torch.inference_mode():
        described = feature(image, lafs)
    assert described.dtype == torch.float64
    torch.testing.assert_close(described.norm(dim=-1), torch.ones(1, 1, dtype=torch.float64))


def test_what_does_not_describe_patches_is_refused():
    with pytest.raises(RequestError, match="Conv2d does not describe 32 x 32 patches"):
        laf_descriptor(nn.Conv2d(1, 1, 3))
    with pytest.raises(RequestError, match="SuperPoint does not describe"):
        local_feature(descompress.build("superpoint"))
