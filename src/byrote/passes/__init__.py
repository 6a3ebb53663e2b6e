"""Sequences through a model: fine-tuning, scoring, generation."""
