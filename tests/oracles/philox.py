"""Philox4x32-10 in Python's integers, word by word as Salmon et al. (SC 2011) write it."""

MASK = 2**32 - 1


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, int, int, int]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second & MASK, first >> 32 ^ c3 ^ k1, first & MASK
        k0, k1 = k0 + 0x9E3779B9 & MASK, k1 + 0xBB67AE85 & MASK
    return c0, c1, c2, c3


def bits(key: tuple[int, ...], count: int) -> list[int]:
    """The first numbers of a stream: four for each counter."""
    return [word for block in range(-(-count // 4)) for word in philox((block, 0, 0, 0), key)][:count]
