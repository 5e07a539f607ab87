"""Settings files: read with a place for every value, split into sections, checked as a whole, written back."""

from orchestrator.config.loading import Loaded, json_schema, load, parse, to_yaml

__all__ = ["Loaded", "json_schema", "load", "parse", "to_yaml"]
