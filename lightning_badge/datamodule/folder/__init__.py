"""Images, texts and tables of a folder, with the labels that are known already."""

from lightning_badge.datamodule.folder.datamodule import FolderDataModule, folder

__all__ = ["FolderDataModule", "folder"]
