"""Models, each written once against torch.nn: one file a paper, found by name through `registry`."""
