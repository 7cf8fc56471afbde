"""The best quadratic under a Gaussian mixture: its normal equations as an operator, and conjugate gradients on it.

For inputs Σ_k π_k N(m_k, S_k) nothing is diagonal any more, and the normal equations of a quadratic in d variables
have d²/2 unknowns per output. They are never formed. Applying them to a quadratic takes Stein's identity under every
component, which is two matrix products of size d per component and output (`operator`); the layer's side takes the
same expectations of its neurons (`expectations`).

    coordinates    in which the mixture is white in total, and its components are as nearly diagonal as can be
    operator       p ↦ (E p, E[p z], E[p (zzᵀ − I)]/√2)
    expectations   the same of a layer
    preconditioner what is inverted beforehand: 1, z_i, z_i² among themselves, and the z_i z_j that share a factor
    conjugate_gradients  for all outputs together;  iteration  when that ends
    batches        which outputs of which layers are solved for together
    polynomial     what comes out;  variance  how good it is;  resume  its state in files
"""
