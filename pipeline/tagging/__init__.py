"""Tag audio files with a trained run, an ensemble or an exported model.

``audio_files`` finds the files, ``decoding`` computes their features in workers, ``trained`` and
``exported`` score them (both are a :class:`pipeline.tagging.tagger.SegmentModel`), ``tag_files``
brings these together, ``text`` and ``documents`` say the result.

May import: runtime, audio, store, batching, extraction, runs, ensembling, training_data,
training, features, exporting.
"""
