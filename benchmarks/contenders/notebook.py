"""The notebook's way: Keras's generator over a folder, batch 16, `predict`, one network after another.

The recipe of `write_gap` in github.com/ypwhs/dogs_vs_cats, in what Keras 3 keeps of its names: a base model without its
top on a preprocessing layer, pooled, and every photograph read, decoded and resized again for every network.
"""

from typing import Any

import numpy as np

from benchmarks.contenders import Job, Stopwatch, weights_of

BATCH_SIZE = 16


def run(job: Job) -> float:
    """See `benchmarks.contenders`."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    watch = Stopwatch()
    for backbone in job.backbones:
        model, side = _model(backbone), backbone.input_size
        model.predict(np.zeros((BATCH_SIZE, side, side, 3), np.float32), batch_size=BATCH_SIZE, verbose=0)
        with watch:
            flow = ImageDataGenerator().flow_from_directory(
                str(job.photographs), (side, side), shuffle=False, batch_size=BATCH_SIZE, class_mode=None
            )
            model.predict(flow, verbose=0)
    return watch.seconds


def _model(backbone: Any) -> Any:
    import keras

    from catsdogs.networks import pth
    from catsdogs.networks.architectures import efficientnet_lite
    from catsdogs.networks.build import preprocess

    image = keras.Input((backbone.input_size, backbone.input_size, 3))
    prepared = keras.layers.Lambda(lambda x: preprocess(x, backbone.preprocessing), image.shape[1:])(image)
    if backbone.package:
        base = efficientnet_lite.build(backbone.name, backbone.input_size)
        path = weights_of(backbone).path
        if path:
            efficientnet_lite.set_weights(base, pth.read_pth(path))
        base = keras.Model(base.input, base.get_layer("avg_pool").input)
    else:
        base = getattr(keras.applications, backbone.name)(
            weights=None, include_top=False, input_shape=(backbone.input_size, backbone.input_size, 3)
        )
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(base(prepared)))
