"""Random changes of training images, on whole stored batches: each sample has its own draw, keyed by (seed, epoch, sample)."""
