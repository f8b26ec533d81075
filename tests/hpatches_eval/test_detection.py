import numpy as np
import pytest

from hpatches_eval.detection import MEASUREMENT, detect


def blob(sigma: float, x: float, y: float, shape: tuple[int, int] = (200, 220)) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    bump = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return (20 + 200 * bump).astype(np.uint8)


@pytest.mark.parametrize("sigma", [3.0, 5.0, 8.0])
def test_a_gaussian_blob_is_found_at_its_place_and_scale(sigma):
    # At the centre of a Gaussian of variance s^2, smoothed by sigma^2, sigma^4 det(Hessian) goes as
    # (sigma^2 s^2 / (s^2 + sigma^2)^2)^2, which is highest at sigma = s.
    points = detect(blob(sigma, 100.3, 90.6))
    distance = np.hypot(points[:, 0] - 100.3, points[:, 1] - 90.6)
    scale = points[:, 2] / MEASUREMENT
    assert ((distance < 0.5) & (np.abs(np.log2(scale / sigma)) < 0.2)).any()


def test_a_flat_image_has_no_points():
    assert detect(np.full((200, 200), 90, np.uint8)).shape == (0, 4)


def test_regions_lie_inside_the_image():
    image = np.random.default_rng(0).integers(0, 256, (160, 200)).astype(np.uint8)
    x, y, radius, _ = detect(image).T
    assert len(x) > 30
    assert (np.minimum(x, y) >= radius).all()
    assert ((x + radius <= 199) & (y + radius <= 159)).all()


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, 4.0])
def test_the_angle_is_the_direction_in_which_it_gets_brighter(angle):
    columns, rows = np.meshgrid(np.arange(200) - 100.0, np.arange(200) - 100.0)
    edge = 1 / (1 + np.exp(-(columns * np.cos(angle) + rows * np.sin(angle)) / 4))
    image = (40 + 80 * edge + 90 * np.exp(-(columns**2 + rows**2) / 50)).astype(np.uint8)
    points = detect(image)
    near = points[np.hypot(points[:, 0] - 100, points[:, 1] - 100) < 6]
    assert len(near)
    turn = (near[:, 3] - angle + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(turn).min() < 0.15
