"""Keras on TensorFlow at its best effort: tf.data decodes once on all cores, ahead of compiled networks, batch 32."""

from typing import Any

from benchmarks.contenders import Job, Stopwatch, vector_model

BATCH_SIZE = 32


def run(job: Job) -> float:
    """See `benchmarks.contenders`."""
    import tensorflow as tf

    models = [(backbone.input_size, vector_model(backbone, job.variant)) for backbone in job.backbones]

    @tf.function
    def step(batch: Any) -> Any:
        return [model(batch[side], training=False) for side, model in models]

    def decode(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        resized = {side: tf.image.resize(image, (side, side), antialias=True) for side in sorted(job.sizes)}
        return {side: tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8) for side, x in resized.items()}

    size = job.batch_size(BATCH_SIZE)
    step({side: tf.constant(pixels) for side, pixels in job.zeros(size).items()})
    watch = Stopwatch()
    with watch:
        names = tf.data.Dataset.from_tensor_slices([str(path) for path in job.paths])
        photographs = names.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(size, drop_remainder=True)
        for batch in photographs.prefetch(tf.data.AUTOTUNE):
            for vectors in step(batch):
                vectors.numpy()
    return watch.seconds
