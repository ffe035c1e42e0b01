"""What a report tells about a folder of own images: its files, missed kinds, doubtful labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganad_tf.data.folder.load import FolderSplits
from ganad_tf.data.folder.masks import read_mask
from ganad_tf.report.overlays import overlay

SUSPECTS = 12
# More would bury the rest of the page; split.csv and the console name them all.
MOST_NAMED = 40
_BATCH = 256


@dataclass(frozen=True)
class KindResult:
    """How well one kind of anomaly was found in the test.

    Attributes:
        name: the kind.
        learnt: labelled images of it in the training part.
        tested: images of it in the test part.
        found: how many of these lie above the threshold.
        auroc: that kind against all normal test images.
    """

    name: str
    learnt: int
    tested: int
    found: int
    auroc: float


@dataclass(frozen=True)
class Suspect:
    """A normal image that looks anomalous to the detector.

    Attributes:
        path: relative to the data folder.
        part: `train`, `validation` or `test`.
        score: its anomaly score.
        is_alarm: whether that is above the threshold.
        picture: uint8 [h, w, 1 or 3].
        overlay: the same with its anomaly map over it, uint8 [h, w, 3].
    """

    path: str
    part: str
    score: float
    is_alarm: bool
    picture: np.ndarray
    overlay: np.ndarray


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """All that the report tells about a folder of images beyond what it tells of any data.

    Attributes:
        root: the folder.
        layout: `own` or `MVTec`.
        kinds: kinds of anomaly in the test, the worst found first.
        suspects: the normal images of highest score over all parts, the highest first.
        duplicates: groups of equal pictures: (path, `kind, part`) of each.
        left_out: (path, reason) of files that cannot be used.
        notes: sentences about the data.
        masks: how many anomalous test images have a mask.
        places: how many anomalies in training have one.
    """

    root: str
    layout: str
    kinds: Sequence[KindResult]
    suspects: Sequence[Suspect]
    duplicates: Sequence[Sequence[tuple[str, str]]]
    left_out: Sequence[tuple[str, str]]
    notes: Sequence[str]
    masks: int
    places: int


def describe_own_data(
    splits: FolderSplits,
    predict: Callable[..., dict[str, np.ndarray]],
    scores: np.ndarray,
    threshold: float,
    aurocs: Mapping[str, float],
    colour_range: tuple[float, float],
) -> OwnData:
    """Gathers what there is to tell.

    Args:
        splits: the folder.
        predict: `Detector.predict`; it scores the normal images of all parts.
        scores: of the test images.
        threshold: of the detector.
        aurocs: kind -> its AUROC, as `evaluate` gives it.
        colour_range: (low, high) of the anomaly maps' colours.
    """
    where = {entry.path: f"{entry.kind}, {entry.part}" for entry in splits.entries}
    return OwnData(
        root=str(splits.root),
        layout=splits.layout,
        kinds=kind_results(splits, scores, threshold, aurocs),
        suspects=find_suspects(splits, predict, scores, threshold, colour_range),
        duplicates=[[(path, where[path]) for path in group] for group in splits.duplicates],
        left_out=[(file.path, file.reason) for file in splits.bad],
        notes=[note[:1].upper() + note[1:] + "." for note in splits.notes],
        masks=len(splits.masks),
        places=splits.masked,
    )


def kind_results(
    splits: FolderSplits, scores: np.ndarray, threshold: float, aurocs: Mapping[str, float]
) -> list[KindResult]:
    """Each kind of anomaly in the test, the one with the smallest share found first."""
    test, train = splits.test, splits.train
    results = []
    for name, auroc in aurocs.items():
        of_kind = scores[test.kinds == test.kind_names.index(name)]
        results.append(
            KindResult(
                name,
                int(np.count_nonzero(train.kinds == train.kind_names.index(name))),
                len(of_kind),
                int(np.count_nonzero(of_kind > threshold)),
                auroc,
            )
        )
    return sorted(results, key=lambda kind: (kind.found / kind.tested, kind.auroc))


def find_suspects(
    splits: FolderSplits,
    predict: Callable[..., dict[str, np.ndarray]],
    test_scores: np.ndarray,
    threshold: float,
    colour_range: tuple[float, float],
    count: int = SUSPECTS,
) -> list[Suspect]:
    """The normal images of highest score, whatever part they are in.

    Args:
        splits: the folder.
        predict: `Detector.predict`.
        test_scores: scores of the test images, which are not computed again.
        threshold: of the detector.
        colour_range: (low, high) of the anomaly maps' colours.
        count: how many, at most.
    """
    found = []
    for part in ("train", "validation", "test"):
        data, paths = getattr(splits, part), splits.paths(part)
        normal = np.flatnonzero(~data.is_anomaly)
        if part == "test":
            scores = test_scores[normal]
        else:
            # Batch by batch: the part may be larger than the memory.
            chunks = [normal[i : i + _BATCH] for i in range(0, len(normal), _BATCH)]
            scores = [predict(data.images[some])["score"] for some in chunks]
            scores = np.concatenate(scores)
        for place in np.argsort(-scores, kind="stable")[:count]:
            index = normal[place]
            found.append((float(scores[place]), paths[index], part, data.images, index))
    found.sort(key=lambda suspect: -suspect[0])
    suspects = []
    for score, path, part, images, index in found[:count]:
        picture = images[np.array([index])]
        heat = predict(picture, outputs=("anomaly_map",))["anomaly_map"][0]
        drawn = overlay(picture[0], heat, colour_range)
        suspects.append(Suspect(path, part, score, score > threshold, picture[0], drawn))
    return suspects


def masks_of(splits: FolderSplits, indices: Sequence[int]) -> list[np.ndarray | None]:
    """The masks, bool [S, S], of the test images at `indices`; None for one that has none."""
    paths, size = splits.paths("test"), splits.test.images.shape[1]
    return [
        read_mask(splits.root / splits.masks[paths[index]], size, splits.fit)
        if paths[index] in splits.masks
        else None
        for index in indices
    ]
