"""Which images calibrate and which check: never the same ones where that can be helped."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from effnet_lite.errors import MissingDependencyError, UsageError
from effnet_lite.lite.architecture import Architecture
from effnet_lite.lite.photos import PhotoSet, check_photos, find_photos, sample_photos
from effnet_lite.lite.preprocessing import Pixels, Preprocessing
from effnet_lite.lite.weights import Weights
from effnet_lite.progress import Progress
from effnet_lite.quantize.export import expected_moments, export
from effnet_lite.quantize.matching import affordable, match
from effnet_lite.quantize.synthetic import dead_leaves

DEFAULT_COUNT = 100
SYNTHETIC_COUNT = 64  # of dead leaves; of matched images see matching.py
# Agreement on fewer says nothing; more only cost time.
MIN_CHECK, MAX_CHECK = 5, 200
CACHE_BYTES = 128 * 2**20
NEEDED = ("tensorflow", "convert")  # package and extra, for matched images


@dataclasses.dataclass(frozen=True)
class CalibrationSet:
    """Images for calibration, and others to check on.

    Attributes:
        photos: The files; None for synthetic images.
        count: How many images calibrate.
        check: Files that calibration does not see.
        check_classes: The class index of each of ``check``, None where it is not known.
        seed: Of the shuffle and of synthetic images.
        notices: What the user should know of the choice, a line each.
        matched: Synthetic images made for a network, which calibrate; () for dead leaves.
        origin: What made ``matched``.
    """

    photos: PhotoSet | None
    count: int
    check: PhotoSet
    check_classes: tuple[int | None, ...]
    seed: int
    notices: tuple[str, ...] = ()
    matched: tuple[Pixels, ...] = dataclasses.field(default=(), repr=False, compare=False)
    origin: str = "dead leaves"
    _cache: dict[tuple[Preprocessing, int], Pixels] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def kind(self) -> str:
        """``folder``, ``samples`` or ``synthetic``."""
        return self.photos.kind if self.photos else "synthetic"

    def pixels(self, preprocessing: Preprocessing, limit: int | None = None) -> Iterator[Pixels]:
        """The images one by one, ready for the model; each call starts anew.

        Stages ask several times; what fits into ``CACHE_BYTES`` is decoded only once.
        """
        count = self.count if limit is None else min(limit, self.count)
        fits = CACHE_BYTES // (3 * preprocessing.size**2)
        for number in range(count):
            image = self._cache.get((preprocessing, number))
            if image is None:
                image = self._image(number, preprocessing)
                if len(self._cache) < fits:
                    self._cache[preprocessing, number] = image
            yield image

    def matched_to(
        self,
        plan: Architecture,
        weights: Weights,
        preprocessing: Preprocessing,
        progress: Progress | None = None,
    ) -> CalibrationSet:
        """This set, synthetic images moved until the network takes them for photos.

        They stay dead leaves, and a notice says so, where TensorFlow is missing or the
        network is too large; and with random weights, whose batch norms know no photos.

        Args:
            plan: The network.
            weights: Its weights.
            preprocessing: Its preprocessing.
            progress: Called as the work goes on.
        """
        if self.photos is not None or weights.layout == "random":
            return self
        graph = export(plan, weights.tensors)
        effort = affordable(graph)
        if effort is None:
            return self._as_dead_leaves("the network is too large to match images to it")
        expected = expected_moments(plan, weights.tensors)
        size, confident = preprocessing.size, not weights.head_is_new
        start = [dead_leaves(size, number, self.seed) for number in range(effort.images)]
        try:
            found = match(
                graph, expected, start, preprocessing, effort, self.seed, confident, progress
            )
        except MissingDependencyError:
            missing = MissingDependencyError("matching images to the network", *NEEDED)
            return self._as_dead_leaves(str(missing))
        mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in found]
        origin = (
            f"{len(found)} dead leaves, {effort.steps} steps towards the batch norms"
            f"{' and classes' if confident else ''} of {weights.sha256}, and mirror images"
        )
        return dataclasses.replace(
            self, count=2 * len(found), matched=(*found, *mirrored), origin=origin
        )

    def _as_dead_leaves(self, reason: str) -> CalibrationSet:
        notice = f"the synthetic images are plain dead leaves, which cost much accuracy: {reason}"
        return dataclasses.replace(self, notices=(*self.notices, notice))

    def _image(self, number: int, preprocessing: Preprocessing) -> Pixels:
        if self.matched:
            return self.matched[number]
        if self.photos is None:
            return dead_leaves(preprocessing.size, number, self.seed)
        return preprocessing.pixels(self.photos.paths[number])

    def digest(self) -> str:
        """sha256 that names the set: over the files, or over what made the synthetic images."""
        if self.photos:
            return self.photos.digest()
        return hashlib.sha256(f"{self.origin} {self.count} {self.seed}".encode()).hexdigest()

    def manifest(self) -> list[str]:
        """The files, in the order in which they were used."""
        return [str(path) for path in self.photos.paths] if self.photos else []


def choose(
    calibration: str | os.PathLike[str] | None,
    count: int = DEFAULT_COUNT,
    seed: int = 0,
    max_check: int = MAX_CHECK,
) -> CalibrationSet:
    """Images for calibration and for the check.

    Args:
        calibration: A folder of photos, ``samples`` (installed photos), ``synthetic``, or
            None: samples where they are installed, else synthetic images.
        count: Photos to calibrate on, at most.
        seed: Of the shuffle.
        max_check: Photos of a folder to hold back for the check, at most.

    Raises:
        InputError: No such folder, or no photo in it.
        UsageError: A count below 1.
        MissingDependencyError: ``samples`` were asked for and are not installed.
    """
    if count < 1:
        raise UsageError(f"calibration needs at least 1 image, got a count of {count}")
    if calibration is None:
        try:
            return _samples(count, seed)
        except MissingDependencyError:
            notice = (
                "no photos to calibrate on: using SYNTHETIC images, which cost accuracy. Pass "
                "--calibration FOLDER with photos like your users', or install "
                "effnet-lite[imagenet]"
            )
            return _synthetic(seed, (notice,))
    if calibration == "samples":
        return _samples(count, seed)
    if calibration == "synthetic":
        return _synthetic(
            seed, ("calibrating on SYNTHETIC images: real photos give better accuracy",)
        )
    return _folder(Path(calibration), count, seed, max_check)


def _samples(count: int, seed: int) -> CalibrationSet:
    photos, _ = sample_photos().split(count, seed)
    check, classes = check_photos()
    return CalibrationSet(photos, len(photos), check, tuple(classes), seed)


def _synthetic(seed: int, notices: tuple[str, ...]) -> CalibrationSet:
    try:
        check, classes = check_photos()
    except MissingDependencyError:
        check, classes = PhotoSet("synthetic", ()), []
        notices += ("no photos to check on: fidelity to the float model was not measured",)
    return CalibrationSet(None, SYNTHETIC_COUNT, check, tuple(classes), seed, notices)


def _folder(folder: Path, count: int, seed: int, max_check: int) -> CalibrationSet:
    found = find_photos(folder)
    held = min(max_check, max(len(found) - count, len(found) // 5))
    photos, rest = found.split(min(count, len(found) - held), seed)
    check = PhotoSet(rest.kind, rest.paths[:max_check])
    notices: tuple[str, ...] = ()
    if len(check) < MIN_CHECK:
        photos, check = PhotoSet(found.kind, found.paths[:count]), found
        notices = (
            f"{len(found)} photos are too few to hold some back: the check below ran on the "
            "photos that calibrated, so it flatters; give 25 or more",
        )
    return CalibrationSet(photos, len(photos), check, (None,) * len(check), seed, notices)
