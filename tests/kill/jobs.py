"""The jobs that are disturbed: small, with every stage that a small job can have, and what each makes undisturbed."""

import hashlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderKL

from ddoq.config import DistillConfig
from ddoq.distill import distill
from tests.pictures import access_to, members, write_zip

QUICK_STUDENTS = {"seeds": 1, "steps": 20, "width": 8, "batch_size": 8}
SLOW_STUDENTS = {**QUICK_STUDENTS, "steps": 500}  # some seconds of training
TEACHER = {"kind": "train", "network": "convnet-3", "width": 8, "steps": 20, "batch_size": 8}
PIXELS = {"kind": "pixels", "resolution": 16}
FIT = {"kind": "fit", "resolution": 16, "size": "small", "steps": 3, "train_batch_size": 8}
BATCH = 4


class Jobs:
    """Configs over one small dataset below `root`, and one slow autoencoder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uri = write_zip(root / "data.zip", members())

    def quick(self, **changes: object) -> DistillConfig:
        """About a second of work, without a teacher."""
        body = {"dataset": {"uri": self._uri}, "images_per_class": 2, "prior": PIXELS, "students": QUICK_STUDENTS}
        return DistillConfig.model_validate({**body, **changes})

    def of_all_stages(self) -> DistillConfig:
        """Quick, with a prior that is fitted and a teacher that is taught and labels."""
        return self.quick(teacher=TEACHER, prior=FIT)

    def labelled(self) -> DistillConfig:
        """Quick, with a teacher that is taught and labels, and nothing that is large to send."""
        return self.quick(teacher=TEACHER)

    def training(self) -> DistillConfig:
        """Some seconds in the stage that trains students, all else quick."""
        return self.quick(students=SLOW_STUDENTS)

    def encoding(self, name: str, n_train: int = 20, **changes: object) -> DistillConfig:
        """A good part of a second for each batch of an autoencoder, both ways, on a dataset of its own."""
        uri = write_zip(self.root / f"{name}.zip", members((f"{name} cat", f"{name} dog"), n_train=n_train))
        prior = {"kind": "vae", "model": str(self._autoencoder()), "resolution": 128, "batch_size": BATCH}
        body = {"dataset": {"uri": uri}, "prior": prior, "images_per_class": n_train // 2, "evaluation": "none"}
        return self.quick(**{**body, **changes})

    def sha256_undisturbed(self, config: DistillConfig) -> tuple[str, ...]:
        """Distil in this process, with nothing in the way, and answer what the archives are; once a config."""
        return _sha256_undisturbed(config.model_dump_json(), self.root)

    def _autoencoder(self) -> Path:
        folder = self.root / "vae"
        if not folder.exists():
            blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = AutoencoderKL(**blocks, block_out_channels=(32, 32), norm_num_groups=8)
            model.save_pretrained(folder)
        return folder


@cache
def _sha256_undisturbed(body: str, root: Path) -> tuple[str, ...]:
    with TemporaryDirectory() as folder:
        archives = distill(DistillConfig.model_validate_json(body), Path(folder) / "work", access_to(root))
        return tuple(sorted(hashlib.sha256(archive.read_bytes()).hexdigest() for archive in archives))
