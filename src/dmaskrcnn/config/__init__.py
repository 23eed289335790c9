"""Configuration: everything that must be known before torch is imported."""
