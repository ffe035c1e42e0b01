"""What a report says about a folder of images: files, missed kinds, doubtful labels."""

from collections.abc import Callable, Mapping

import numpy as np

from ganad_tf.data.account import FolderAccount
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.report.overlays import overlay
from ganad_tf.report.page_data import KindResult, OwnData, Suspect
from ganad_tf.scoring import MAP_COLOUR_RANGE, Detector

# A few rows of pictures in the report; a person should look at each.
SUSPECTS = 12
_BATCH = 256


def describe_own_data(
    splits: Splits,
    account: FolderAccount,
    detector: Detector,
    scores: np.ndarray,
    aurocs: Mapping[str, float],
) -> OwnData:
    """Collects what the report says about the folder.

    Args:
        splits: the data; in training, the anomalies that the run learnt from.
        account: of the folder they come from.
        detector: scores the normal images of all parts.
        scores: of the test images.
        aurocs: kind -> its AUROC, as `evaluate` gives it.
    """
    where = {entry.path: f"{entry.kind}, {entry.part}" for entry in account.entries}
    threshold = detector.scorer.threshold
    return OwnData(
        root=str(account.root),
        layout=account.layout,
        kinds=kind_results(splits, scores, threshold, aurocs),
        suspects=find_suspects(
            splits,
            detector.run,
            scores,
            threshold,
            pixel_threshold=detector.scorer.pixel_threshold,
        ),
        duplicates=[[(path, where[path]) for path in group] for group in account.duplicates],
        near_duplicates=[
            ((one.path, where[one.path]), (one.original, where[one.original]), one.difference)
            for one in account.near_duplicates
        ],
        left_out=[(file.path, file.reason) for file in account.bad],
        notes=[note[:1].upper() + note[1:] + "." for note in account.notes],
        n_test_masks=n_known(splits.test),
        n_train_masks=splits.n_masked,
        uses=account.uses,
    )


def n_known(images: LabelledImages) -> int:
    """How many anomalies have a mask."""
    return 0 if images.masks is None else int(images.masks.known.sum())


def kind_results(
    splits: Splits, scores: np.ndarray, threshold: float, aurocs: Mapping[str, float]
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
    splits: Splits,
    predict: Callable[..., dict[str, np.ndarray]],
    test_scores: np.ndarray,
    threshold: float,
    count: int = SUSPECTS,
    pixel_threshold: float | None = None,
) -> list[Suspect]:
    """The normal images with the highest scores in all three parts.

    Args:
        splits: the folder.
        predict: `Detector.run`.
        test_scores: scores of the test images, which are not computed again.
        threshold: of the detector.
        count: how many, at most.
        pixel_threshold: of the detector; pixels above it are outlined.
    """
    found = []
    for part in ("train", "validation", "test"):
        data: LabelledImages = getattr(splits, part)
        normal = np.flatnonzero(~data.is_anomaly)
        if part == "test":
            scores = test_scores[normal]
        else:
            # Batch by batch, because the part may not fit into memory.
            chunks = [normal[i : i + _BATCH] for i in range(0, len(normal), _BATCH)]
            scores = np.concatenate([predict(data.images[some])["score"] for some in chunks])
        for place in np.argsort(-scores, kind="stable")[:count]:
            index = normal[place]
            found.append((float(scores[place]), data.paths[index], part, data.images, index))
    found.sort(key=lambda suspect: -suspect[0])
    suspects = []
    for score, path, part, images, index in found[:count]:
        picture = images[np.array([index])]
        heat = predict(picture, outputs=("anomaly_map",))["anomaly_map"][0]
        marked = None if pixel_threshold is None else heat > np.float32(pixel_threshold)
        drawn = overlay(picture[0], heat, MAP_COLOUR_RANGE, marked)
        suspects.append(Suspect(path, part, score, score > threshold, picture[0], drawn))
    return suspects
