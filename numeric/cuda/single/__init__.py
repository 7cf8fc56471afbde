"""What is different in single precision: modules of `numeric` once more, but only what gives way there.

`numeric.cuda.translate` reads `numeric.special`, `numeric.binormal` and `numeric.covariance_kernels`, and puts what
stands here in place of the definitions of the same names. The rest of their text is the same in both precisions.
"""
