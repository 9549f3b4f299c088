"""From latents and their measured attributes to edit directions: a regression, where learning starts."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KEPT_VARIANCE = 0.95  # share of W's variance that directions may use; the rest is estimation noise


def standardise(values: Array) -> Array:
    """Columns of zero mean and unit standard deviation, outliers pulled in to three deviations."""
    clipped: Array = np.clip((values - values.mean(0)) / values.std(0), -3, 3)
    return clipped


def partial_directions(w: Array, attributes: Array) -> Array:
    """Mean change of w per attribute with every other attribute held fixed, as unit vectors.

    Multivariate linear regression `w - mean = attributes @ C + noise`: row k of C moves attribute k while the
    regression leaves the others where they are. W is cut to the principal components that hold
    `KEPT_VARIANCE` of its variance.

    Args:
        w: Latents [N, w_dim].
        attributes: Measurements [N, K].

    Returns:
        Unit vectors [K, w_dim], each pointing to more of its attribute.
    """
    centred = w - w.mean(0)
    _, basis = components(centred)
    design = np.column_stack([standardise(attributes), np.ones(len(w))])
    coefficients = np.linalg.lstsq(design, centred, rcond=None)[0][:-1]
    return _unit(coefficients @ basis.T @ basis)


def components(centred: Array, share: float = KEPT_VARIANCE) -> tuple[Array, Array]:
    """Principal components that hold a share of the variance [C, w_dim], their deviations [C] before them."""
    _, scale, basis = np.linalg.svd(centred, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(scale**2) / np.sum(scale**2), share)) + 1
    return scale[:kept] / np.sqrt(len(centred)), basis[:kept]


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
