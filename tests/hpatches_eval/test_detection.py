import numpy as np
import pytest

from hpatches_eval.detection import MEASUREMENT, _hessian_and_harris, _orientation, detect
from hpatches_eval.frames import pyramid


def blob(sigma: float, x: float, y: float, shape: tuple[int, int] = (200, 220)) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    bump = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return (20 + 200 * bump).astype(np.uint8)


@pytest.mark.parametrize("sigma", [3.0, 5.0, 8.0])
def test_a_gaussian_blob_is_found_at_its_place_and_scale(sigma):
    # At the centre of a Gaussian of variance s^2, smoothed by sigma^2, sigma^4 det(Hessian) goes as
    # (sigma^2 s^2 / (s^2 + sigma^2)^2)^2, which is highest at sigma = s.
    hessian, _ = _hessian_and_harris(blob(sigma, 100.3, 90.6))
    x, y, radius = hessian[0]
    assert np.hypot(x - 100.3, y - 90.6) < 0.3
    assert abs(np.log2(radius / MEASUREMENT / sigma)) < 0.12
    points = detect(blob(sigma, 100.3, 90.6))
    assert np.hypot(points[:, 0] - 100.3, points[:, 1] - 90.6).min() < 0.3


def test_a_flat_image_has_no_points():
    assert detect(np.full((200, 200), 90, np.uint8)).shape == (0, 4)


def test_regions_lie_inside_the_image():
    image = np.random.default_rng(0).integers(0, 256, (160, 200)).astype(np.uint8)
    x, y, radius, _ = detect(image).T
    assert len(x) > 30
    assert (np.minimum(x, y) >= radius).all()
    assert ((x + radius <= 199) & (y + radius <= 159)).all()


@pytest.mark.parametrize("degrees", [5, 35, 125, 255])
def test_the_angle_is_the_direction_in_which_it_gets_brighter(degrees):
    angle = np.deg2rad(degrees)  # the middle of one of the 36 bins
    columns, rows = np.meshgrid(np.arange(200) - 100.0, np.arange(200) - 100.0)
    ramp = 128 + 0.8 * (columns * np.cos(angle) + rows * np.sin(angle))
    found = _orientation(pyramid(ramp.astype(np.uint8)), 100.0, 100.0, 50.0)
    assert (found - angle + np.pi) % (2 * np.pi) - np.pi == pytest.approx(0, abs=0.03)
