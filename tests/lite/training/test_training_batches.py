"""What a step sees: the same from wherever one starts, on however many devices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from effnet_lite.lite.training.augment import POLICY, Augmentation
from effnet_lite.lite.training.batches import Batches, Part, validation_batches
from effnet_lite.lite.training.photos import gather

tf = pytest.importorskip("tensorflow")

BATCH = 8


@pytest.fixture(scope="module")
def data(shapes, preprocessing):
    return gather(shapes, None, 0.1, 0, preprocessing, 2**24)


@pytest.fixture(scope="module")
def make(data, preprocessing):
    def run(size=32, crop=0.3, colour=0.2, magnitude=5.0, mixup=0.2, seed=0):
        augmentation = Augmentation(size, crop, colour, magnitude)
        return Batches(data.training, 3, augmentation, preprocessing, BATCH, mixup, seed)

    return run


def take(dataset, count):
    return [tuple(part.numpy() for part in batch) for batch in itertools.islice(dataset, count)]


def equal(one, other):
    return all(
        np.array_equal(a, b)
        for batch, again in zip(one, other, strict=True)
        for a, b in zip(batch, again, strict=True)
    )


def test_a_stream_goes_on_wherever_one_starts(make):
    stream = take(make().since(0), 8)
    assert equal(take(make().since(5), 3), stream[5:])
    assert not equal(take(make(seed=1).since(0), 8), stream)
    images, targets = stream[0]
    assert images.shape == (BATCH, 32, 32, 3)
    assert targets.shape == (BATCH, 3)
    assert images.dtype == targets.dtype == np.float32
    assert np.abs(targets.sum(1) - 1).max() < 1e-6
    # (pixel - 127) / 128
    assert images.min() >= -1
    assert images.max() <= 1


@pytest.mark.parametrize(("workers", "devices"), [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_devices_share_the_batch(make, workers, devices):
    """Each takes its rows of it, mixing included."""
    whole = take(make().since(3), 4)
    replicas = workers * devices
    parts = [
        take(make().since(3, replicas, Part(index, workers)), 4 * devices)
        for index in range(workers)
    ]
    for step, batch in enumerate(whole):
        shares = [part[step * devices + device] for part in parts for device in range(devices)]
        for found, expected in zip(zip(*shares, strict=True), batch, strict=True):
            assert np.array_equal(np.concatenate(found), expected)


def test_an_epoch_shows_every_photo_once(make, data, preprocessing):
    """Photos are told apart by an untouched view of them."""
    count = len(data.training)
    plain = make(crop=1.0, colour=0.0, magnitude=0.0, mixup=0.0)
    images = np.concatenate([batch[0] for batch in take(plain.since(0), 3 * count // BATCH)])
    # A mirrored photo has the same sorted pixels.
    keys = [np.sort(image.ravel()).round(4).tobytes() for image in images]
    first, second = keys[:count], keys[count : 2 * count]
    labels = np.concatenate([batch[1].argmax(1) for batch in take(plain.since(0), count // BATCH)])
    assert len(set(labels.tolist())) == 3
    assert first != second
    assert len(keys) == 3 * count


def test_orders_are_permutations():
    for count in (2, 24, 97):
        for epoch in range(3):
            seed = tf.constant([7, epoch], tf.int32)
            order = [
                int(tf.random.experimental.index_shuffle(place, seed, count - 1))
                for place in range(count)
            ]
            assert sorted(order) == list(range(count))


def test_mixup_mixes_neighbours(make):
    (plain,) = take(make(mixup=0.0).since(2), 1)
    (mixed,) = take(make(mixup=1.0).since(2), 1)
    order = np.arange(BATCH) ^ 1
    images, targets = plain
    # λ from the targets where neighbours are of different classes; the pixels follow it.
    different = targets.argmax(1) != targets[order].argmax(1)
    shares = mixed[1][np.arange(BATCH), targets.argmax(1)]
    assert different.any()
    assert (shares[different] >= 0.5).all()
    assert (shares[different] < 1).any()
    expected = images * shares[:, None, None, None] + images[order] * (
        1 - shares[:, None, None, None]
    )
    assert np.abs(mixed[0][different] - expected[different]).max() < 1e-5


def test_without_noise_a_photo_stays_what_it_is():
    """A crop of the whole of a square is the photo or its mirror image."""
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    still = Augmentation(32, 1.0, 0.0, 0.0)
    found = set()
    for seed in range(40):
        view = still(tf.constant(photo), tf.constant([0, seed], tf.int64)).numpy()
        for name, expected in (("as it is", photo), ("mirrored", photo[:, ::-1])):
            if np.abs(view - expected).max() < 1e-3:
                found.add(name)
    assert found == {"as it is", "mirrored"}


def test_crops_lie_within_odd_photos():
    photo = np.full((9, 120, 3), 200, np.uint8)
    for seed in range(20):
        view = Augmentation(16, 0.1, 0.0, 0.0)(tf.constant(photo), tf.constant([1, seed], tf.int64))
        assert np.abs(view.numpy() - 200).max() < 1e-3


@pytest.mark.parametrize("name", POLICY)
@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_operations_keep_to_pixels(name, strength):
    image = tf.constant(np.random.default_rng(0).uniform(0, 255, (24, 24, 3)), tf.float32)
    for sign in (-1, 1):
        made = POLICY[name](image, tf.constant(strength), tf.constant(sign * strength)).numpy()
        assert made.shape == (24, 24, 3)
        assert np.isfinite(made).all()
        assert -1e-3 <= made.min() <= made.max() <= 255 + 1e-3


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness", "rotate",
                                  "shear x", "shear y", "shift x", "shift y", "solarize",
                                  "posterize"])  # fmt: skip
def test_operations_of_no_strength_do_nothing(name):
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (24, 24, 3)), tf.float32)
    made = POLICY[name](image, tf.constant(0.0), tf.constant(0.0)).numpy()
    assert np.abs(made - image.numpy()).max() < 1e-2


def test_operations_do_what_they_are_called():
    ramp = np.tile(np.linspace(50, 100, 24), (24, 1))[..., None].repeat(3, 2)
    image = tf.constant(ramp, tf.float32)
    one, none = tf.constant(1.0), tf.constant(0.0)
    assert POLICY["brightness"](image, one, one).numpy().mean() > 1.8 * ramp.mean()
    stretched = POLICY["autocontrast"](image, one, none).numpy()
    assert (stretched.min(), stretched.max()) == pytest.approx((0, 255), abs=1e-3)
    spread = POLICY["equalize"](image, one, none).numpy()
    assert spread.std() == pytest.approx(255 / np.sqrt(12), rel=0.05)
    right = POLICY["shift x"](image, one, tf.constant(-1 / 3)).numpy()  # by a tenth, 2.4 pixels
    assert np.abs(right[:, 5:] - (ramp[:, 5:] - 2.4 * 50 / 23)).max() < 0.01
    assert np.abs(right[:, :2] - 127).max() < 1e-3  # what comes in is grey


def test_validation_shows_all_photos_as_deployed(data, preprocessing):
    side = data.validation
    whole = take(validation_batches(side, 3, preprocessing), 100)
    images, targets, weights = (np.concatenate(part) for part in zip(*whole, strict=True))
    used = weights > 0
    assert used.sum() == len(side)
    expected = [preprocessing.normalize(side.cache.load(number)) for number in side.numbers]
    assert np.array_equal(images[used], np.stack(expected))
    assert targets[used].argmax(1).tolist() == side.labels.tolist()


def test_devices_share_validation(data, preprocessing):
    side = data.validation
    (whole,) = take(validation_batches(side, 3, preprocessing), 9)
    parts = [
        take(validation_batches(side, 3, preprocessing, 2, Part(index, 2)), 9) for index in range(2)
    ]
    labels = [
        int(label)
        for part in parts
        for _, targets, weights in part
        for label in targets[weights > 0].argmax(1)
    ]
    assert sorted(labels) == sorted(side.labels.tolist())
    assert len(whole[0]) == len(side)
