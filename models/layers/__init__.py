"""Layers that Keras lacks, registered with it so that model files load with ``safe_mode=True``.

May import: nothing of this project.
"""

from models.layers.batch_norm import BatchNorm
from models.layers.frequency import FrequencyChannel
from models.layers.pooling import AttentionPooling, BandMean, ChannelSummary, MeanMaxPooling
from models.layers.scaling import MinMaxCentring, standardization

__all__ = [
    "AttentionPooling", "BandMean", "BatchNorm", "ChannelSummary", "FrequencyChannel",
    "MeanMaxPooling", "MinMaxCentring", "standardization",
]
