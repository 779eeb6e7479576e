"""Putting a model into an Android project: which models suit a phone, and where they go."""
