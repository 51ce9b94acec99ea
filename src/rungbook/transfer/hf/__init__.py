"""Hugging Face both ways (group `hf`): their checkpoints in our models, ours in theirs, and training ours with their Trainer."""
