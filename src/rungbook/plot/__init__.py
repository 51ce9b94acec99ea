"""Pictures that say in words what they show, and read on light and dark pages alike."""
