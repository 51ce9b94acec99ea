"""Models for tables and flat inputs."""
