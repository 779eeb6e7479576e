"""Training a network on the user's photos.

``train`` is the whole job, from photos and ImageNet weights to a run folder. Its parts, in the
order in which they work, one file each: ``config`` says how; ``photos`` lists and splits,
``cache`` keeps what was decoded; ``augment`` and ``batches`` make what a step sees; ``devices``
says on what; ``network`` builds the Keras model with seeded noise; ``head_start`` fits the
classifier; ``loop`` learns; ``checkpoint``, ``run_folder`` and ``curves`` keep it. Importing this
loads no TensorFlow.

The loop knows nothing of EfficientNet and nothing of quantization::

    trainer = Trainer(
        model,                      # any tf_keras model: images to logits
        averaged,                   # a second one of the same weights: their moving average
        loss,                       # (logits, targets, teacher logits or None) -> (N,)
        optimizer,                  # of tf_keras; its rate is set at each step
        rate,                       # step, share of the time budget used -> learning rate
        strategy,                   # of tf.distribute
        teacher=None,               # images -> logits
        settings=LoopSettings(total, per_epoch, …),
    )
    trainer.restore(state)          # what ``trainer.state()`` gave, to go on from
    finished = trainer.run(
        batches,                    # step -> iterator of (images, targets) from that step on
        validation,                 # () -> iterator of (images, targets, weights)
        hooks,                      # on_step, on_epoch, wants_to_stop: save, draw, stop
        progress,
    )

A step depends on the state and on the step's number alone, so that a run that was killed ends
where one that was left alone does.
"""

from __future__ import annotations
