"""ImageNet's labels."""

from catsdogs.networks import imagenet


def test_labels_are_those_of_ilsvrc_2012() -> None:
    labels, ids = imagenet.labels(), imagenet.wordnet_ids()
    assert len(labels) == len(set(ids)) == 1000
    assert list(ids) == sorted(ids)  # the order of ILSVRC-2012's indices is that of the WordNet ids
    assert (labels[151], labels[268], labels[281], labels[285]) == (
        "Chihuahua",
        "Mexican hairless",
        "tabby",
        "Egyptian cat",
    )
    assert (labels[269], labels[286]) == ("timber wolf", "cougar")
    assert len(imagenet.PETS) == 123
