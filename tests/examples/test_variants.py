from collections import Counter
from typing import Any

import pytest
import torch

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.digits import digits
from lightning_badge.examples.variants import duplicated, with_rare_classes
from lightning_badge.exceptions import LabelError

pytest.importorskip("sklearn")


def images_by_id(datamodule: ActiveLearningDataModule) -> dict[Any, torch.Tensor]:
    loaders = datamodule.pool_dataloader(), datamodule.labeled_dataloader()
    return {
        sample_id: image
        for loader in loaders
        for ids, (images, _) in ((batch.sample_ids, batch.batch) for batch in loader)
        for sample_id, image in zip(ids, images, strict=True)
    }


def validation(datamodule: ActiveLearningDataModule) -> torch.Tensor:
    return torch.cat([images for images, _ in datamodule.val_dataloader()])


class TestRareClasses:
    def test_only_rare_classes_lose_samples_and_ids_keep_their_images_and_labels(self) -> None:
        whole = digits(initial_labeled=0)
        rare = with_rare_classes(digits, rare=[3, 8], share=0.1, initial_labeled=20)
        labels = rare.held_back_labels()
        before = Counter(whole.held_back_labels().values())
        expected = {c: round(0.1 * n) if c in (3, 8) else n for c, n in before.items()}
        assert Counter(labels.values()) == expected
        assert labels.items() <= whole.held_back_labels().items()
        images = images_by_id(whole)
        for sample_id, image in images_by_id(rare).items():
            assert torch.equal(image, images[sample_id])
        assert torch.equal(validation(rare), validation(whole))

    def test_the_initial_labels_are_drawn_from_the_remaining_samples(self) -> None:
        rare = with_rare_classes(digits, rare=[3], share=0.02, initial_labeled=30)
        drawn = Counter(rare.labels_dict().values())
        assert drawn[3] == 1
        assert len(drawn) == 10
        assert sum(drawn.values()) == 30

    def test_another_seed_draws_other_initial_labels_from_the_same_data(self) -> None:
        first, second = (
            with_rare_classes(digits, rare=[3], share=0.1, initial_labeled=20, seed=seed)
            for seed in (0, 1)
        )
        assert first.held_back_labels() == second.held_back_labels()
        assert first.labeled_ids.tolist() != second.labeled_ids.tolist()

    @pytest.mark.parametrize(("share", "kept"), [(1.0, 142), (1e-9, 1)])
    def test_at_least_one_and_at_most_all_samples_are_kept(self, share: float, kept: int) -> None:
        rare = with_rare_classes(digits, rare=[0], share=share, initial_labeled=0)
        assert list(rare.held_back_labels().values()).count(0) == kept

    @pytest.mark.parametrize("share", [0, 1.5, -0.1])
    def test_a_share_outside_its_range_is_an_error(self, share: float) -> None:
        with pytest.raises(LabelError, match=r"share: expected a number in \(0, 1\], got"):
            with_rare_classes(digits, rare=[0], share=share)

    def test_an_unknown_class_is_an_error(self) -> None:
        with pytest.raises(LabelError, match="rare: expected classes such as .*, got 'cat'"):
            with_rare_classes(digits, rare=["cat"], share=0.1)


class TestDuplicated:
    def test_every_image_has_the_requested_number_of_copies_with_distinct_ids(self) -> None:
        whole, five = digits(initial_labeled=0), duplicated(digits, copies=5, initial_labeled=20)
        images, labels = images_by_id(whole), whole.held_back_labels()
        copies, copied_labels = images_by_id(five), five.held_back_labels()
        assert len(copies) == len(copied_labels) == 5 * len(images)
        for sample_id, image in copies.items():
            source, copy = map(int, sample_id.split("_"))
            assert 0 <= copy < 5
            assert torch.equal(image, images[source])
            assert copied_labels[sample_id] == labels[source]
        assert torch.equal(validation(five), validation(whole))

    def test_the_initial_labels_are_first_copies_of_those_of_the_source(self) -> None:
        plain = digits(initial_labeled=20, seed=3)
        five = duplicated(digits, copies=5, initial_labeled=20, seed=3)
        assert sorted(five.labeled_ids) == sorted(f"{source}_0" for source in plain.labeled_ids)
        assert len(five.pool_ids) == 5 * 1437 - 20

    def test_fewer_than_one_copy_is_an_error(self) -> None:
        with pytest.raises(LabelError, match="copies: expected at least 1, got 0"):
            duplicated(digits, copies=0)
