import pytest
import torch

from dmaskrcnn.detector.sampling import Sampled, random_keys, sample_balanced

CPU = torch.device("cpu")


def drawn(sampled: Sampled, image: int = 0) -> list[int]:
    return sampled.index[image][sampled.valid[image]].tolist()


@pytest.mark.parametrize("present", [True, False])
def test_sampling_is_balanced_and_seeded(present):
    labels = torch.zeros(1, 100, dtype=torch.int64)
    labels[:, :40] = 1 if present else -1
    draws = [sample_balanced(labels, 20, 0.25, [seed]) for seed in (1, 1, 2)]
    for one in draws:
        positive = one.index[0, : one.positives][one.valid[0, : one.positives]]
        negative = one.index[0, one.positives :][one.valid[0, one.positives :]]
        assert len(positive) == (5 if present else 0)
        assert len(positive) + len(negative) == len(set(drawn(one))) == 20
        assert (labels[0, positive] == 1).all()
        assert (labels[0, negative] == 0).all()
    assert drawn(draws[0]) == drawn(draws[1]) != drawn(draws[2])


def test_an_image_is_sampled_alike_whoever_shares_its_batch():
    labels = torch.randint(-1, 2, (3, 500), generator=torch.Generator().manual_seed(0))
    together = sample_balanced(labels, 64, 0.5, [7, 8, 9])
    for image, seed in enumerate((7, 8, 9)):
        assert drawn(sample_balanced(labels[image : image + 1], 64, 0.5, [seed])) == drawn(
            together, image
        )


def test_few_candidates_leave_columns_empty():
    labels = torch.tensor([[1, 0, -1, 0], [1, 1, 1, 1]])
    sampled = sample_balanced(labels, 10, 0.5, [1, 2])
    assert sorted(drawn(sampled)) == [0, 1, 3]
    assert sorted(drawn(sampled, 1)) == [0, 1, 2, 3]


def test_every_candidate_has_the_same_chance():
    """Of 20 candidates 5 are drawn in 4,000 images: each 1,000 times, give or take 4.5 standard
    deviations."""
    sampled = sample_balanced(torch.zeros(4000, 20), 5, 0.5, range(4000))
    counts = torch.bincount(sampled.index[sampled.valid], minlength=20)
    assert counts.sum() == 20_000
    assert (counts - 1000).abs().max() < 4.5 * (4000 * 0.25 * 0.75) ** 0.5


def test_keys_are_splitmix64():
    """Against the generator in Python's integers."""

    def reference(seed: int, column: int) -> int:
        z = (seed + (column + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return (z ^ z >> 31) % 2**63

    seeds = [0, 1, 2**63 - 1, 2**64 - 5]
    expected = [[reference(seed, column) for column in range(50)] for seed in seeds]
    assert random_keys(seeds, 50, CPU).tolist() == expected
