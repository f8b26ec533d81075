from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import descompress
from descompress.errors import ArtifactError, InputError, RequestError
from descompress.integrations.lightglue import Extractor
from descompress.selection import Selection
from descompress.spec import Spec

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
IMAGE_SPEC = Spec("superpoint", {"widths": [8] * 10, "dim": 16})


@pytest.fixture(scope="module")
def nets():
    torch.manual_seed(0)
    net = descompress.build(IMAGE_SPEC).eval()
    with torch.no_grad():
        net.conv("convPb").weight *= 30
    patch_net = descompress.load(WEIGHTS / "hardnet.tiny.safetensors")
    return {"image network": net, "patch network": patch_net}


KINDS = {"image network": 16, "patch network": 128}


@pytest.fixture(scope="module")
def pixels(discs) -> np.ndarray:
    return np.stack([discs(k, (90, 132), 40, 12) for k in (1, 2)])


@pytest.fixture(scope="module")
def images(pixels) -> torch.Tensor:
    return torch.from_numpy(pixels)[:, None].float() / 255


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_finders_in_lightglues_shapes(kind, nets, images, pixels):
    found = Extractor(nets[kind], Selection(most=20))({"image": images})
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    assert shapes == {
        "keypoints": (2, 20, 2),
        "keypoint_scores": (2, 20),
        "descriptors": (2, 20, KINDS[kind]),
        "scales": (2, 20),
        "oris": (2, 20),
    }
    assert not any(value.requires_grad for value in found.values())
    for i in range(2):
        expected = descompress.finder(nets[kind], Selection(most=20))(pixels[i])
        np.testing.assert_allclose(found["keypoints"][i], expected.keypoints, atol=1e-3)
        np.testing.assert_allclose(found["keypoint_scores"][i], expected.scores, atol=1e-5)
        np.testing.assert_allclose(found["descriptors"][i], expected.descriptors, atol=1e-4)


def test_sizes_and_angles_are_those_of_opencvs_keypoints(nets, images, pixels):
    found = Extractor(nets["patch network"], Selection(most=20))({"image": images[:1]})
    points = cv2.SIFT.create(enable_precise_upscale=True).detect(pixels[0])
    for xy, scale, ori in zip(
        *(found[name][0].tolist() for name in ("keypoints", "scales", "oris")), strict=True
    ):
        near = [k for k in points if np.hypot(k.pt[0] - xy[0], k.pt[1] - xy[1]) < 1e-3]
        apart = [(np.rad2deg(ori) - k.angle + 180) % 360 - 180 for k in near]
        assert min(map(abs, apart)) < 0.01
        assert scale == pytest.approx(near[0].size, rel=1e-4)


def test_a_larger_image_is_searched_in_a_smaller_copy(nets, images):
    """Searched at half its size: each pixel of the copy covers two, (p + .5) 2 - .5."""
    extractor = Extractor(nets["image network"], Selection(most=20))
    large = images[0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert large.shape == (1, 180, 264)
    found = extractor.extract(large, resize=132)
    assert found["image_size"].tolist() == [[264, 180]]
    points = found["keypoints"][0]
    assert points.min() > 4
    assert points[:, 0].max() > 140
    copy = torch.nn.functional.interpolate(large[None], (90, 132), mode="bilinear", antialias=True)
    expected = extractor({"image": copy})
    torch.testing.assert_close(points, expected["keypoints"][0] * 2 + 0.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(found["scales"], 2 * expected["scales"])
    for resize in (None, 264, 4000):
        same = extractor.extract(large[None], resize=resize)
        assert same["keypoints"].equal(extractor({"image": large[None]})["keypoints"])
    assert not same["keypoints"].equal(found["keypoints"])


@pytest.mark.parametrize("kind", KINDS)
def test_kornias_lightglue_reads_it(kind, nets, images):
    """With random weights, for none are for these descriptors; sizes and angles for patches."""
    feature = pytest.importorskip("kornia.feature")
    torch.manual_seed(0)
    glue = feature.LightGlue(
        None,
        input_dim=KINDS[kind],
        descriptor_dim=32,
        n_layers=2,
        num_heads=2,
        add_scale_ori=kind == "patch network",
        filter_threshold=0.0,
        depth_confidence=-1,
        width_confidence=-1,
    ).eval()
    extractor = Extractor(nets[kind], Selection(most=20))
    first, second = (extractor.extract(image) for image in images)
    with torch.inference_mode():
        out = glue({"image0": first, "image1": second})
    assert out["matches0"].shape == (1, 20)
    assert len(out["matches"][0]) == (out["matches0"] >= 0).sum() > 0


def test_a_name_or_a_file_is_enough():
    extractor = Extractor.from_pretrained("hardnet.nano", Selection(most=3))
    assert extractor.extract(torch.rand(3, 64, 80))["descriptors"].shape == (1, 3, 128)
    with pytest.raises(ArtifactError, match="no such file, nor a shipped network"):
        Extractor.from_pretrained("nothing")


def test_what_cannot_be_read_or_stacked_is_refused(nets, images):
    extractor = Extractor(nets["patch network"])
    with pytest.raises(InputError, match="'image' is missing"):
        extractor({"images": images})
    with pytest.raises(InputError, match=r"images with \d+, 0 keypoints cannot be stacked"):
        extractor({"image": torch.cat([images[:1], 0 * images[:1]])})
    for wrong in (images, images[0, 0]):
        with pytest.raises(InputError, match="one image"):
            extractor.extract(wrong)
    with pytest.raises(InputError, match="images must be floats"):
        extractor.extract(torch.zeros(2, 9, 9))
    with pytest.raises(RequestError, match="Linear describes neither"):
        Extractor(torch.nn.Linear(1, 1))
