import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import descompress
from descompress.detections import MEASUREMENT
from descompress.errors import ArtifactError, InputError, RequestError
from descompress.integrations.extraction import GREY
from descompress.integrations.kornia import ImageFeature, laf_descriptor, local_feature
from descompress.selection import Selection
from descompress.spec import Spec
from hpatches_eval.sequences import ImageSequence

kornia = pytest.importorskip("kornia.feature")
WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "hardnet.safetensors"
IMAGE_SPEC = Spec("superpoint", {"widths": [8] * 10, "dim": 16})


@pytest.fixture(scope="module")
def hardnet():
    return descompress.load(WEIGHTS)


@pytest.fixture(scope="module")
def image_net():
    torch.manual_seed(0)
    net = descompress.build(IMAGE_SPEC).eval()
    with torch.no_grad():
        net.conv("convPb").weight *= 10
        for name, parameter in net.named_parameters():  # or all descriptors are nearly the same
            parameter *= not name.endswith("bias")
    return net


@pytest.fixture(scope="module")
def pixels(discs) -> np.ndarray:
    """Two pictures with points, and one without."""
    return np.stack([discs(k, (90, 131), 40, 12) for k in (1, 2)] + [np.full((90, 131), 9, "u1")])


@pytest.fixture(scope="module")
def images(pixels) -> torch.Tensor:
    return torch.from_numpy(pixels)[:, None].float() / 255


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
        laf_descriptor(descompress.build(IMAGE_SPEC))
    with pytest.raises(RequestError, match="Conv2d describes neither images nor patches"):
        local_feature(nn.Conv2d(1, 1, 3))
    with pytest.raises(RequestError, match="a detector is for patch networks"):
        local_feature(descompress.build(IMAGE_SPEC), detector=nn.Identity())


@pytest.mark.parametrize("kind", ["image network", "patch network"])
def test_images_have_the_features_that_the_finder_finds(kind, image_net, hardnet, images, pixels):
    net = image_net if kind == "image network" else hardnet
    found = ImageFeature(net, Selection(most=30))(images)
    assert isinstance(found, list)
    for one, image in zip(found, pixels, strict=True):
        expected = descompress.finder(net, Selection(most=30))(image)
        np.testing.assert_allclose(one.keypoints, expected.keypoints, atol=1e-3)
        np.testing.assert_allclose(one.detection_scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(one.descriptors, expected.descriptors, atol=1e-4)
        assert one.n == len(one.keypoints) == len(one.lafs)
        assert one.to("cpu").keypoints.equal(one.keypoints)
    assert found[0].n == found[1].n == 30
    assert kind == "image network" or found[2].n == 0


def test_frames_and_their_padding_are_those_kornia_reads(hardnet, images, pixels):
    feature = ImageFeature(hardnet, Selection(most=30))
    lafs, responses, rows = feature.forward_laf(images)
    assert (lafs.shape, responses.shape, rows.shape) == ((3, 30, 2, 3), (3, 30), (3, 30, 128))
    filled = (lafs != 0).flatten(2).any(2).sum(1)
    assert filled.tolist() == [30, 30, 0]
    strongest = max(
        cv2.SIFT.create(enable_precise_upscale=True).detect(pixels[0]),
        key=lambda k: (k.response, [-v for v in k.pt]),
    )
    np.testing.assert_allclose(kornia.get_laf_center(lafs)[0, 0], strongest.pt, atol=1e-4)
    half_width = kornia.get_laf_scale(lafs)[0, 0].item()
    assert half_width == pytest.approx(MEASUREMENT * strongest.size / 2, rel=1e-4)
    # OpenCV's angles turn clockwise on the screen, kornia's the other way.
    turned = kornia.get_laf_orientation(lafs)[0, 0].item() + strongest.angle
    assert (turned + 180) % 360 - 180 == pytest.approx(0, abs=0.01)


def test_described_frames_look_alike_to_kornia_and_to_us(hardnet, images):
    """The same frames, cut out by kornia's own patch extraction, give nearly the same rows."""
    lafs, _, rows = ImageFeature(hardnet, Selection(most=30)).forward_laf(images[:1])
    with torch.inference_mode():
        again = laf_descriptor(hardnet)(images[:1], lafs)
    # Of 30 frames each is nearest to itself; the patches differ by how they are smoothed.
    assert torch.cdist(rows[0], again[0]).argmin(1).eq(torch.arange(30)).float().mean() > 0.8


@pytest.mark.parametrize(("kind", "shift"), [("image network", 0), ("patch network", 24)])
def test_kornias_matcher_matches_images_with_it(kind, shift, image_net, hardnet, images):
    """The second image is the first, some pixels to the left; random weights match equals only."""
    net = image_net if kind == "image network" else hardnet
    first, second = images[:1, :, :, :104], images[:1, :, :, shift : shift + 104]
    matcher = kornia.DescriptorMatcher("mnn")
    with torch.inference_mode():
        data = {"image0": first, "image1": second}
        out = kornia.LocalFeatureMatcher(local_feature(net, features=60), matcher)(data)
    moved = out["keypoints0"] - out["keypoints1"]
    right = (moved - torch.tensor([float(shift), 0])).norm(dim=1) < 1
    assert len(moved) > 10
    assert right.float().mean() > 0.5


def test_the_mask_of_kornias_matcher_is_followed(image_net, images):
    mask = torch.zeros(1, 90, 131)
    mask[:, :, 60:] = 1
    matcher = kornia.LocalFeatureMatcher(local_feature(image_net), kornia.DescriptorMatcher("mnn"))
    out = matcher({"image0": images[:1], "image1": images[:1], "mask0": mask})
    assert len(out["keypoints0"]) > 5
    assert out["keypoints0"][:, 0].min() > 59
    nothing = matcher({"image0": images[:1], "image1": images[:1], "mask0": 0 * mask})
    assert len(nothing["keypoints0"]) == 0


def test_masks_leave_the_strongest_of_what_is_left_to_patch_networks(hardnet, images):
    feature, mask = ImageFeature(hardnet, Selection(most=10)), torch.ones(2, 1, 90, 131)
    mask[1, :, :, 90:] = 0
    free, masked = feature(images[1:2].expand(2, -1, -1, -1), mask)
    assert free.n == masked.n == 10
    assert free.keypoints[:, 0].max() > 89.5 >= masked.keypoints[:, 0].max()


def test_copies_precisions_and_modes(image_net, images):
    feature = ImageFeature(image_net, Selection(most=50))
    (expected, *_) = feature(images)
    copied = copy.deepcopy(feature).double().train()
    for given in (images, images.double()):
        (found, *_) = copied(given)
        assert found.keypoints.dtype == found.descriptors.dtype == torch.float32
        assert found.detection_scores.dtype == found.lafs.dtype == torch.float32
        nearest = torch.cdist(found.keypoints, expected.keypoints).min(1).values
        assert (nearest < 0.01).float().mean() > 0.95
    assert copied.net.training
    assert not feature.net.training
    half, *_ = copy.deepcopy(feature).bfloat16()(images)
    torch.testing.assert_close(half.descriptors.norm(dim=1), torch.ones(half.n))
    assert feature.load_state_dict(feature.state_dict())
    assert not next(iter(feature(images))).descriptors.requires_grad


def test_colours_are_weighted_as_kornia_weights_them(image_net, images):
    from kornia.color import rgb_to_grayscale

    colour = torch.cat([images[:1], images[1:2], 1 - images[:1]], 1)
    (found,), (grey,) = (ImageFeature(image_net)(x) for x in (colour, rgb_to_grayscale(colour)))
    assert sum(GREY) == pytest.approx(1)
    torch.testing.assert_close(found.keypoints, grey.keypoints)


def test_a_name_or_a_file_is_enough(tmp_path, image_net, images):
    assert ImageFeature.from_pretrained("hardnet.tiny").net.spec.net == "strided"
    descompress.save(image_net, tmp_path / "net.safetensors")
    feature = ImageFeature.from_pretrained(tmp_path / "net.safetensors", Selection(most=7))
    assert isinstance(feature, ImageFeature)
    assert [one.n for one in feature(images[:2])] == [7, 7]
    with pytest.raises(ArtifactError, match="superpoint-v1: no such file, nor a shipped network"):
        ImageFeature.from_pretrained("superpoint-v1")


@pytest.mark.parametrize("kind", ["image network", "patch network"])
def test_images_and_masks_of_other_shapes_are_refused(kind, image_net, hardnet, images):
    feature = ImageFeature(image_net if kind == "image network" else hardnet)
    for wrong in (images[0], images[:, [0, 0]], (images * 255).byte()):
        with pytest.raises(InputError, match=r"images must be floats in \[0, 1\]"):
            feature(wrong)
    for mask in (images[:1], images[..., 1:], torch.ones(3, 2, 90, 131)):
        with pytest.raises(InputError, match="the mask must be as large as the images"):
            feature(images, mask)
    with pytest.raises(InputError, match="NaN or infinity"):
        feature(images / 0)
