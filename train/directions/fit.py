"""From latents and their measured attributes to edit directions: two regressions."""

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
    _, basis = _components(centred)
    design = np.column_stack([standardise(attributes), np.ones(len(w))])
    coefficients = np.linalg.lstsq(design, centred, rcond=None)[0][:-1]
    return _unit(coefficients @ basis.T @ basis)


def sparing_directions(w: Array, attributes: Array, gradients: Array, weight: float) -> Array:
    """The way of least cost to more of an attribute and no more of another, as unit vectors.

    In coordinates u of W with unit variance, the regression `attributes = u A^T + noise` says what a step d
    changes, A d, and the gradients say how quickly the face becomes another person's: with M their second
    moment, scaled to a mean eigenvalue of 1,

        minimise |d|^2 + weight d^T M d  subject to  A d = e_k,
        d_k = P A^T (A P A^T)^-1 e_k,  P = (I + weight M)^-1

    Args:
        w: Latents [N, w_dim].
        attributes: Measurements [N, K].
        gradients: Of identity [G, w_dim], as by `identity_gradients`.
        weight: Of identity against keeping to where latents are common, at least 0.

    Returns:
        Unit vectors [K, w_dim], each pointing to more of its attribute.
    """
    centred = w - w.mean(0)
    scale, basis = _components(centred)
    slopes = np.linalg.lstsq(centred @ basis.T / scale, standardise(attributes), rcond=None)[0].T
    steps = gradients @ basis.T * scale
    moment = steps.T @ steps
    moment *= len(moment) / np.trace(moment)
    spared = np.linalg.solve(np.eye(len(moment)) + weight * moment, slopes.T)  # P A^T
    # Least squares: a small model may have fewer components than there are attributes to hold.
    found = np.linalg.lstsq(slopes @ spared, spared.T, rcond=None)[0]
    return _unit(found * scale @ basis)


def _components(centred: Array) -> tuple[Array, Array]:
    """Standard deviations [C] along the principal components that are kept, and those [C, w_dim]."""
    _, scale, basis = np.linalg.svd(centred, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(scale**2) / np.sum(scale**2), KEPT_VARIANCE)) + 1
    return scale[:kept] / np.sqrt(len(centred)), basis[:kept]


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
