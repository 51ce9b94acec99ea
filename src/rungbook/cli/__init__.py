"""The command `rung`: one file a verb."""
