"""The ladder: every part of deep learning by hand, proven equal to PyTorch's and exchangeable with it in any model.

Rung 1 is `tensor` (products, broadcasting, strides), rung 2 `autograd`, rung 3 `functional` and `nn`, rung 4 the losses and initialisations
in them, rung 5 `optim`, rung 6 `data`; `module` is what a layer and a container are made of. `twins` puts them in torch's place.
Nothing here imports anything of rungbook's other parts, nor any library besides torch.
"""
