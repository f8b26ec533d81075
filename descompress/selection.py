"""Which keypoints of an image are kept."""

from dataclasses import dataclass

from hpatches_eval.features import MOST_KEYPOINTS
from hpatches_eval.maps import WIDEST, Picking

from .errors import RequestError


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pixels of a score map become keypoints.

    Args:
        radius: No two keypoints are this close in both x and y, in pixels.
        border: Pixels along the edges of the image that are left out.
        threshold: Scores must be above it.
        most: Keep at most so many of an image, the strongest.
        subpixel: Whether to place keypoints between pixels, at most one away.

    Raises:
        RequestError: A negative number, a radius above 1,024, or not one keypoint asked for, or
            more than 2^24.
    """

    radius: int = 4
    border: int = 4
    threshold: float = 0.005
    most: int = 1000
    subpixel: bool = True

    def __post_init__(self) -> None:
        for name, least in (("radius", 0), ("border", 0), ("threshold", 0), ("most", 1)):
            if not getattr(self, name) >= least:
                raise RequestError(f"{name} must be {least} or more, not {getattr(self, name)}")
        if self.radius > WIDEST:
            raise RequestError(f"radius must be at most {WIDEST} pixels, not {self.radius}")
        if self.most > MOST_KEYPOINTS:
            raise RequestError(f"most must be at most {MOST_KEYPOINTS:,}, not {self.most}")

    def picking(self) -> Picking:
        """The same, in the words of the evaluator."""
        return Picking(self.most, self.radius, self.border, self.threshold, refine=self.subpixel)
