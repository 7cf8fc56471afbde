"""Layers whose weights live on a GPU: what differs from NumPy where the arrays are CuPy's or PyTorch's.

Arrays on the CPU count as NumPy's, of which they become views; arrays on a device stay there, and so does everything
of the size of a weight matrix that is made of them. What there is of each neuron goes to the CPU and back as needed.

    arrays         where an array is, and the few steps between there and NumPy
    projections    wᵀ Σ w for all rows of a weight matrix
    values         activations at preactivations
    arguments      functions of several arrays of which some are on a device
    pairs          residual covariances of blocks of pairs of neurons, and how large the blocks may be
"""
