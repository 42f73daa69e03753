"""Find clips that hold the same audio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipeline.store.reader import Store


def duplicate_groups(stores: Iterable[Store]) -> list[tuple[str, ...]]:
    """Group clips that have the same frames in a store, or were the same file.

    The same audio in another container or of another name is found; audio that was cut, encoded or
    changed in level is not. The store's checksums say which clips to compare, so few are read.

    Parameters
    ----------
    stores : iterable of Store
        Compared one by one: a pair that is equal in any of them is a duplicate. For frames, give
        waveform stores: the log-mel frames of different clips may be equal.

    Returns
    -------
    groups : list of tuple of str
        Each of two clips or more, sorted.
    """
    parent: dict[str, str] = {}

    def root(clip_id: str) -> str:
        while (above := parent.setdefault(clip_id, clip_id)) != clip_id:
            clip_id = above
        return clip_id

    for store in stores:
        by_file, by_frames = defaultdict(list), defaultdict(list)
        for i, clip_id in enumerate(store):
            by_file[store.digests[i]].append(clip_id)
            by_frames[(int(store.length[i]), int(store.crc32[i]))].append(clip_id)
        candidates: list[Sequence[str]] = list(by_file.values())
        candidates += [group for clips in by_frames.values() if len(clips) > 1
                       for group in _equal(store, clips)]
        for group in candidates:
            for clip_id in group[1:]:
                parent[root(clip_id)] = root(group[0])
    groups = defaultdict(list)
    for clip_id in parent:
        groups[root(clip_id)].append(clip_id)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _equal(store: Store, clips: Sequence[str]) -> list[list[str]]:
    groups = defaultdict(list)
    for clip_id in clips:
        i = store.index_of(clip_id)
        frames = store.frames[store.start[i]:store.start[i] + store.length[i]]
        groups[frames.tobytes()].append(clip_id)
    return list(groups.values())
