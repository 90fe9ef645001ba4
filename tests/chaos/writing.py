"""Writes of items, vectors and spaces to a library and to the truth. Knows nothing of the index and of what fails."""

from tests.chaos.trial import Trial

from retriever.errors import SpaceExists, SpaceInUse, SpaceInvalid, VectorsMissing
from retriever.upload import SpaceUpload


def put(trial: Trial) -> None:
    fingerprint, dimension = trial.draw.encoder()
    items = trial.draw.items()
    embeddings = trial.draw.vectors(len(items), dimension)
    if trial.truth.items and trial.rng.random() < 0.15:  # some are as they were
        for place, item in enumerate(items):
            items[place] = trial.truth.items.get(item.id, item)
    names = {item.id for item in items}
    written = trial.library.put(fingerprint, items, embeddings)
    new = len(names - trial.truth.items.keys())
    assert (written.created, written.replaced, written.duplicates) == (new, len(names) - new, len(items) - len(names))
    assert written.generation == trial.library.generation
    trial.truth.put(fingerprint, items, embeddings)
    if trial.rng.random() < 0.1:
        again = trial.library.put(fingerprint, items, embeddings)
        assert (again.created, again.replaced) == (0, len(names))


def put_vectors(trial: Trial) -> None:
    if not (name := trial.draw.space()) or not (ids := trial.draw.ids(12)):
        return
    space = trial.truth.spaces[name]
    embeddings, had = trial.draw.vectors(len(ids), space.dimension), len(space.vectors.keys() & set(ids))
    written = trial.library.put_vectors(trial.draw.called(name), space.fingerprint, ids, embeddings)
    assert (written.created, written.replaced, written.duplicates) == (len(set(ids)) - had, had, len(ids) - len(set(ids)))
    trial.truth.put_vectors(name, ids, embeddings)


def fill(trial: Trial) -> None:
    """Gives every item a vector in one space, which can be cut over to then."""
    if not (name := trial.draw.space()) or not (lacking := sorted(trial.truth.items.keys() - trial.truth.spaces[name].vectors.keys())):
        return
    space = trial.truth.spaces[name]
    embeddings = trial.draw.vectors(len(lacking), space.dimension)
    trial.library.put_vectors(name, space.fingerprint, lacking, embeddings)
    trial.truth.put_vectors(name, lacking, embeddings)


def patch(trial: Trial) -> None:
    if trial.truth.items:
        patches = [trial.draw.patch(name) for name in trial.draw.ids(5)]
        assert trial.library.patch(patches).changed == len({patch.id for patch in patches})
        trial.truth.patch(patches)


def delete(trial: Trial) -> None:
    ids = trial.draw.some_ids(8)
    written = trial.library.delete(ids)
    there = {name for name in ids if name in trial.truth.items}
    assert written.changed == len(there)
    assert sorted(written.unknown) == sorted(set(ids) - there)
    trial.truth.delete(ids)


def delete_many(trial: Trial) -> None:
    """So that segments get many dead rows, or only such."""
    ids = trial.rng.sample(sorted(trial.truth.items), int(len(trial.truth.items) * trial.rng.choice((0.3, 0.6, 1))))
    trial.library.delete(ids)
    trial.truth.delete(ids)


def delete_and_add(trial: Trial) -> None:
    fingerprint, dimension = trial.draw.encoder()
    items = list({item.id: item for item in trial.draw.items()}.values())
    embeddings = trial.draw.vectors(len(items), dimension)
    before = trial.library.catalogue.numbers([item.id for item in items])
    trial.library.delete([item.id for item in items])
    trial.truth.delete([item.id for item in items])
    trial.library.put(fingerprint, items, embeddings)
    trial.truth.put(fingerprint, items, embeddings)
    assert not set(before.tolist()) & set(trial.library.catalogue.numbers([item.id for item in items]).tolist()), "a number given twice"


def upload(trial: Trial) -> None:
    name, lines = trial.draw.upload()
    reading = SpaceUpload(name)
    reading.feed(lines)
    state = trial.library.replace_space(name, reading.finish())
    assert state.rows == lines.count(b"\n")


def create_space(trial: Trial) -> None:
    name, fingerprint, dimension, kind = trial.draw.new_space()
    there = trial.truth.spaces.get(name)
    same_encoder = [space.dimension for space in trial.truth.spaces.values() if space.fingerprint == fingerprint]
    if there is not None and (there.fingerprint, there.dimension, there.kind) != (fingerprint, dimension, kind):
        trial.refused(SpaceExists, lambda: trial.library.create_space(name, fingerprint, dimension, kind))
    elif there is None and same_encoder and same_encoder[0] != dimension:
        trial.refused(SpaceInvalid, lambda: trial.library.create_space(name, fingerprint, dimension, kind))
    else:
        trial.library.create_space(name, fingerprint, dimension, kind)
        trial.truth.create_space(name, fingerprint, dimension, kind)


def drop_space(trial: Trial) -> None:
    if not (name := trial.draw.space()):
        return
    if name == trial.truth.content:
        trial.refused(SpaceInUse, lambda: trial.library.drop_space(name))
    else:
        trial.library.drop_space(name)
        trial.truth.drop_space(name)


def cut_over(trial: Trial) -> None:
    if not (name := trial.draw.space()):
        return
    missing = len(trial.truth.items) - len(trial.truth.spaces[name].vectors)
    allow = trial.rng.random() < 0.3
    if missing and not allow:
        trial.refused(VectorsMissing, lambda: trial.library.cut_over(name))
    else:
        trial.library.cut_over(name, allow_missing=allow)
        trial.truth.cut_over(name)


def roll_back(trial: Trial) -> None:
    if trial.truth.previous is not None:
        trial.library.cut_over(trial.truth.previous, allow_missing=True)
        trial.truth.cut_over(trial.truth.previous)
