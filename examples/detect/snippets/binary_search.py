"""Searching in sorted lists."""
from typing import Sequence


def binary_search(items: Sequence[int], wanted: int) -> int:
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(items) and items[low] == wanted else -1


if __name__ == "__main__":
    primes = [2, 3, 5, 7, 11, 13]
    print([binary_search(primes, n) for n in range(1, 8)])
