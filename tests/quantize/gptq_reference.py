"""GPTQ as its paper writes it down (https://arxiv.org/abs/2210.17323), one column after the other, in double precision,
with scales that suit what errors cost; and what MatMulNBits stands for."""

import numpy as np


def decode(node, initializers):
    """The matrix [K][N] of a MatMulNBits node: codes, scales and zero points, then numbers."""
    attributes = {a.name: a.i for a in node.attribute}
    n, k, bits, block = (attributes[name] for name in ("N", "K", "bits", "block_size"))
    blocks = -(-k // block)

    def unpack(packed, count):
        packed = packed.reshape(n, -1)
        if bits == 4:
            packed = np.stack([packed & 15, packed >> 4], axis=-1).reshape(n, -1)
        return packed[:, :count].astype(np.int64)

    codes = unpack(initializers[node.input[1]], blocks * block)
    scales = initializers[node.input[2]].reshape(n, blocks).astype(np.float64)
    has_zeros = len(node.input) > 3 and node.input[3]
    zeros = unpack(initializers[node.input[3]], blocks) if has_zeros else np.full((n, blocks), 1 << (bits - 1))
    weights = (codes - np.repeat(zeros, block, 1)) * np.repeat(scales, block, 1)
    return codes[:, :k].T, weights[:, :k].T, scales


def block_scale(x, bits, symmetric):
    """Scales and zero points of rows [n][block], in float32 as they are stored."""
    most, half = (1 << bits) - 1, 1 << (bits - 1)
    if symmetric:
        extreme = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)[:, 0]
        return np.where(extreme == 0, 1, extreme / -half).astype(np.float32).astype(np.float64), np.full(len(x), half)
    low, high = np.minimum(x.min(1), 0), np.maximum(x.max(1), 0)
    scale = np.where(high == low, 1, (high - low) / most)
    return scale.astype(np.float32).astype(np.float64), np.clip(np.rint(-low / scale), 0, most)


def fitted(x, costs, bits, symmetric):
    """The same, with the least sum of squared errors by their costs [block]: of ranges narrower by fortieths, of their
    mirror images, and with zero points one aside."""
    most, half = (1 << bits) - 1, 1 << (bits - 1)
    scale, zero = block_scale(x, bits, symmetric)
    single = np.float32
    candidates = []
    for i in range(12):
        narrow = (scale.astype(single) * (single(1) - single(i) / single(40))).astype(single)
        candidates.append((narrow, zero))
        if symmetric:
            candidates.append((-narrow * (single(half) / single(most - half)), zero))
        else:
            candidates += [(narrow, zero - 1), (narrow, zero + 1)]
    least = np.full(len(x), np.inf)
    best = [scale.copy(), np.array(zero, np.float64)]
    for s, z in candidates:
        codes = np.clip(np.rint(x / s[:, None]) + z[:, None], 0, most)
        errors = ((x - (codes - z[:, None]) * s[:, None]) ** 2 * costs).sum(1)
        better = (errors < least) & (z >= 0) & (z <= most)
        least[better], best[0][better], best[1][better] = errors[better], s[better], np.asarray(z, np.float64)[better]
    return best


def shrunk(hessian, rows):
    """Less of the correlations, by their variance (Schäfer and Strimmer, 2005)."""
    scale = np.sqrt(np.diag(hessian))
    squares = (hessian / np.outer(scale, scale))[np.triu_indices(len(hessian), 1)] ** 2
    trusted = np.clip(1 - np.sum((1 - squares) ** 2) / np.sum(squares) / rows, 0, 1)
    return np.diag(np.diag(hessian)) * (1 - trusted) + hessian * trusted


def gptq(w, x, bits, block, symmetric, percdamp=0.05, actorder=False, shrink=False):
    """Codes [K][N] of w [K][N] for inputs x [.., K]."""
    w, x = w.astype(np.float64).copy(), x.reshape(-1, x.shape[-1]).astype(np.float64)
    k, most = len(w), (1 << bits) - 1
    hessian = shrunk(x.T @ x, len(x)) if shrink else x.T @ x
    order = np.argsort(-np.diag(hessian), kind="stable") if actorder else np.arange(k)
    hessian += np.eye(k) * percdamp * np.mean(np.diag(hessian))
    # What a squared error costs when the columns behind it make up for it: 1 / the inverse's own element then.
    upper = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T
    costs = np.empty(k)
    costs[order] = 1 / np.diag(upper) ** 2
    for b in range(0, k, block):
        costs[b : b + block] = np.maximum(costs[b : b + block], costs[b : b + block].max() / 16)
    static = [fitted(w[b : b + block].T, costs[b : b + block], bits, symmetric) for b in range(0, k, block)] if actorder else None
    codes = np.zeros(w.shape, np.int64)
    left = list(order)
    for step, j in enumerate(order):
        inverse = np.linalg.inv(hessian[np.ix_(left, left)])  # of the columns that are left, this one first
        if static:
            scale, zero = static[j // block]
        elif step % block == 0:
            scale, zero = fitted(w[j : j + block].T, costs[j : j + block], bits, symmetric)
        codes[j] = np.clip(np.rint(w[j] / scale) + zero, 0, most)
        error = w[j] - (codes[j] - zero) * scale
        w[left] -= np.outer(inverse[0] / inverse[0, 0], error)
        left.pop(0)
    return codes
