"""Measure how well scores fit labels: lwlrap, average precision, MAP@3, accuracy.

Notes
-----
``truth`` [shape=(n_clips, n_classes)] holds 0 and 1 (or bool), ``scores`` of the same shape any
finite number, higher is likelier; only their order matters. Every function checks both with
:func:`validate`. Results are float64.

The rank of a class is the number of classes that score at least as high, so **tied classes get the
worst rank of the tie**: a network that scores all classes the same gains nothing. This is
scikit-learn's rule. The official per-class code of the 2019 Kaggle competition breaks ties by class
index instead, and so gives other figures where scores tie.

lwlrap is not taken from scikit-learn, which loops over the clips in Python and has neither the
values per class nor the precisions that :mod:`pipeline.scoring.intervals` resamples. Average
precision and the confusion matrix are.

lwlrap (label-weighted label-ranking average precision) is the mean over all labels of all clips of
``hits / rank``: of the classes up to a label's rank, the share that is true. It equals
``sklearn.metrics.label_ranking_average_precision_score`` with each clip weighted by its number of
labels and clips without labels left out. A class's lwlrap is that mean over its own labels alone;
its weight is its share of all labels.

Examples
--------
>>> truth = [[1, 0, 0], [0, 1, 1]]
>>> scores = [[0.9, 0.2, 0.1], [0.8, 0.7, 0.1]]
>>> round(lwlrap(truth, scores), 4)  # 1/1 of the first clip; 1/2 and 2/3 of the second
0.7222
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Comparisons made at a time, 2 MB of float64: fits a core's cache, and bounds the memory where
# most classes are true.
BLOCK = 1 << 18


def validate(
    truth: ArrayLike, scores: ArrayLike, *, single: bool = False
) -> tuple[Bools, NDArray]:
    """Check labels and scores, and return them as arrays.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
    single : bool
        Whether each clip must have exactly one label.

    Returns
    -------
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    scores : np.ndarray [shape=(n_clips, n_classes), dtype as given]

    Raises
    ------
    ValueError
        Lists everything wrong: shapes, labels other than 0 and 1, NaN or infinity among the
        scores, no label at all.

    Examples
    --------
    >>> truth, scores = validate([[1, 0]], [[0.9, 0.2]])
    >>> truth
    array([[ True, False]])
    """
    labels, values = np.asarray(truth), np.asarray(scores)
    problems = []
    for name, array in (("truth", labels), ("scores", values)):
        if array.ndim != 2 or not array.size:
            problems.append(f"{name} has shape {array.shape}; needs (n_clips, n_classes)")
        elif array.dtype.kind not in "biuf":
            problems.append(f"{name} has dtype {array.dtype}; needs numbers")
    if not problems and labels.shape != values.shape:
        hint = "; is one of them transposed?" if labels.shape == values.shape[::-1] else ""
        problems.append(f"truth has shape {labels.shape}, scores have {values.shape}{hint}")
    if not problems:
        problems += _label_problems(labels, values, single)
        if (invalid := ~np.isfinite(values)).any():
            problems.append(f"scores: {_places(invalid, 'NaN or infinite')}")
    if problems:
        raise ValueError("\n".join(problems))
    return labels.astype(bool), values


def _label_problems(labels: NDArray, values: NDArray, single: bool) -> list[str]:
    if (invalid := (labels != 0) & (labels != 1)).any():
        swapped = bool(np.isin(values, (0, 1)).all())
        hint = "; did you swap truth and scores?" if swapped else ""
        return [f"truth: {_places(invalid, 'neither 0 nor 1')}{hint}"]
    counts = np.count_nonzero(labels, axis=1)
    if not counts.any():
        return ["truth has no label: there is nothing to measure"]
    if single and (odd := np.flatnonzero(counts != 1)).size:
        return [f"{odd.size} of {len(counts)} clips do not have exactly one label, first clip "
                f"{odd[0]} with {counts[odd[0]]}; is this a multi-label task?"]
    return []


def _places(invalid: Bools, what: str) -> str:
    clip, label = np.argwhere(invalid)[0]
    count = np.count_nonzero(invalid)
    return f"{count} of {invalid.size} are {what}, first clip {clip}, class {label}"


def lwlrap(truth: ArrayLike, scores: ArrayLike) -> float:
    """Compute label-weighted label-ranking average precision.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        As :func:`validate`.

    Examples
    --------
    >>> lwlrap([[1, 0, 0], [0, 1, 0]], [[0.9, 0.2, 0.1], [0.8, 0.7, 0.1]])
    0.75
    """
    _, _, precision = label_precisions(*validate(truth, scores))
    return float(precision.mean())


def per_class_lwlrap(truth: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Compute the lwlrap of each class and its weight.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    per_class : np.ndarray [shape=(n_classes,)]
        NaN for a class that no clip has.
    weight : np.ndarray [shape=(n_classes,)]
        The class's share of all labels, 0 for a class that no clip has; the sum is 1.
        ``np.nansum(per_class * weight)`` is :func:`lwlrap`.

    Raises
    ------
    ValueError
        As :func:`validate`.

    Examples
    --------
    >>> per_class, weight = per_class_lwlrap([[1, 0], [1, 0]], [[0.9, 0.2], [0.3, 0.6]])
    >>> per_class, weight
    (array([0.75,  nan]), array([1., 0.]))
    """
    labels, values = validate(truth, scores)
    _, label, precision = label_precisions(labels, values)
    n_classes = labels.shape[1]
    counts = np.bincount(label, minlength=n_classes)
    sums = np.bincount(label, weights=precision, minlength=n_classes)
    per_class = np.full(n_classes, np.nan)
    np.divide(sums, counts, out=per_class, where=counts > 0)
    return per_class, counts / counts.sum()


def label_precisions(labels: Bools, values: NDArray) -> tuple[NDArray, NDArray, Floats]:
    """Compute ``hits / rank`` of every label, which lwlrap is the mean of.

    Parameters
    ----------
    labels : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    values : np.ndarray [shape=(n_clips, n_classes)]
        Scores; both as :func:`validate` returns them.

    Returns
    -------
    clip, label : np.ndarray [shape=(n_labels,), dtype=int64]
        Clip and class of each label, clip by clip.
    precision : np.ndarray [shape=(n_labels,), dtype=float64]
        In (0, 1].

    Examples
    --------
    >>> label_precisions(np.array([[True, False, True]]), np.array([[0.9, 0.5, 0.1]]))[2].round(3)
    array([1.   , 0.667])
    """
    clip, label = np.nonzero(labels)
    precision = np.empty(len(clip))
    step = max(1, BLOCK // labels.shape[1])
    for start in range(0, len(clip), step):
        part = slice(start, start + step)
        rows = values[clip[part]]
        own = values[clip[part], label[part]]
        before = rows >= own[:, np.newaxis]
        hits = np.count_nonzero(before & labels[clip[part]], axis=1)
        precision[part] = hits / np.count_nonzero(before, axis=1)
    return clip, label, precision


def average_precision(truth: ArrayLike, scores: ArrayLike) -> Floats:
    """Compute the average precision of each class over the ranking of all clips.

    ``sklearn.metrics.average_precision_score`` for each class: a step function, without
    interpolation. Clips without labels count, as clips that should rank low.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    np.ndarray [shape=(n_classes,)]
        NaN for a class that no clip has.

    Raises
    ------
    ValueError
        As :func:`validate`.

    Examples
    --------
    >>> average_precision([[1, 0], [0, 0], [1, 0]], [[0.9, 0.2], [0.8, 0.1], [0.7, 0.3]]).round(3)
    array([0.833,   nan])
    """
    from sklearn.metrics import average_precision_score  # a second; for evaluate only

    labels, values = validate(truth, scores)
    result = np.full(labels.shape[1], np.nan)
    for index in np.flatnonzero(labels.any(axis=0)):
        result[index] = average_precision_score(labels[:, index], values[:, index])
    return result


def mean_average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """Compute the mean of :func:`average_precision` over the classes that some clip has.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        As :func:`validate`.

    Examples
    --------
    >>> mean_average_precision([[1, 0], [0, 1]], [[0.9, 0.2], [0.3, 0.6]])
    1.0
    """
    return float(np.nanmean(average_precision(truth, scores)))


def map_at_3(truth: ArrayLike, scores: ArrayLike) -> float:
    """Compute MAP@3, the measure of the 2018 competition, for one label per clip.

    The mean of 1, 1/2 or 1/3 for a label of rank 1, 2 or 3, and 0 for any other.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As :func:`validate`, and if a clip does not have exactly one label.

    Examples
    --------
    >>> map_at_3([[1, 0, 0, 0], [0, 1, 0, 0]], [[0.9, 0.2, 0.1, 0], [0.8, 0.7, 0.1, 0]])
    0.75
    """
    labels, values = validate(truth, scores, single=True)
    rank = np.count_nonzero(values >= values[labels][:, np.newaxis], axis=1)
    return float(np.mean(np.where(rank <= 3, 1 / rank, 0)))


def accuracy(truth: ArrayLike, scores: ArrayLike) -> float:
    """Compute the share of clips, of one label each, whose label scores highest.

    Something has to be predicted, so of tied classes it is the first, as in ``np.argmax``.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As :func:`validate`, and if a clip does not have exactly one label.

    Examples
    --------
    >>> accuracy([[1, 0], [0, 1]], [[0.9, 0.2], [0.8, 0.7]])
    0.5
    """
    labels, values = validate(truth, scores, single=True)
    return float(np.mean(labels.argmax(axis=1) == values.argmax(axis=1)))


def confusion_counts(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.int64]:
    """Count the clips of each class by the class that is predicted for them.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
        One label per clip; the predicted class is that of :func:`accuracy`.

    Returns
    -------
    counts : np.ndarray [shape=(n_classes, n_classes), dtype=int64]
        Row: true class; column: predicted class. As scikit-learn's ``confusion_matrix``, which
        takes a second to import.

    Raises
    ------
    ValueError
        As :func:`validate`, and if a clip does not have exactly one label.

    Examples
    --------
    >>> confusion_counts([[1, 0], [0, 1]], [[0.9, 0.2], [0.8, 0.7]])
    array([[1, 0],
           [1, 0]])
    """
    labels, values = validate(truth, scores, single=True)
    n_classes = labels.shape[1]
    pairs = labels.argmax(axis=1) * n_classes + values.argmax(axis=1)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def top_confusions(truth: ArrayLike, scores: ArrayLike, *, most: int) -> list[tuple[int, int, int]]:
    """Find the classes that are most often taken for another.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
        One label per clip; the predicted class is that of :func:`accuracy`.
    most : int [scalar]
        Maximum length of the list.

    Returns
    -------
    list of (int, int, int)
        True class, predicted class, count: most frequent first; equal counts in the order of the
        classes.

    Raises
    ------
    ValueError
        As :func:`validate`, and if a clip does not have exactly one label.

    Examples
    --------
    >>> top_confusions([[1, 0], [0, 1]], [[0.9, 0.2], [0.8, 0.7]], most=3)
    [(1, 0, 1)]
    """
    matrix = confusion_counts(truth, scores)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, matrix.shape), strict=True)
    return [(int(a), int(p), int(matrix[a, p])) for a, p in pairs if matrix[a, p]]


def evaluate(truth: ArrayLike, scores: ArrayLike, *, single: bool) -> dict[str, float]:
    """Compute every measure that is one number.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
    single : bool
        Whether the task has exactly one label per clip; adds what only then has a meaning.

    Returns
    -------
    dict
        ``lwlrap``, ``mean_average_precision``; if `single`, ``map_at_3`` and ``accuracy``.

    Raises
    ------
    ValueError
        As :func:`validate`, and if `single` and a clip does not have exactly one label.

    Examples
    --------
    >>> evaluate([[1, 0], [0, 1]], [[0.9, 0.2], [0.3, 0.6]], single=False)
    {'lwlrap': 1.0, 'mean_average_precision': 1.0}
    """
    measures = [lwlrap, mean_average_precision]
    if single:
        measures += [map_at_3, accuracy]
    return {measure.__name__: measure(truth, scores) for measure in measures}
