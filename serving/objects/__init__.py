"""The objects that people write: Services and what comes of them, and what they must say."""
