"""Audio features as frozen dataclasses: a configuration that can be called on an array."""
