"""The data sets rungbook can download: one table with address, size, checksum, licence and citation of each.

A file counts only with its digest: whatever an address or a mirror answers, nothing else enters the cache. Sizes and SHA-256 of MNIST,
Fashion-MNIST, CIFAR, Imagenette and the pets are those TensorFlow Datasets publishes (`checksums.tsv`, `url_checksums/`); MD5s are the
authors' own where they give one. Where nobody publishes a SHA-256, an older digest of the whole file is checked: MD5 and SHA-1 no longer
withstand a forger who makes both of two files, but no way is known to make another file with the digest of a given one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Args:
        name: its name in the cache and in a local copy.
        urls: where to get it, the official address first, then mirrors.
        size: bytes; 0 where nobody publishes it, and the digest alone decides.
        sha256: hexadecimal SHA-256 of its bytes, whole for every data set; of weights sometimes only its beginning is published.
        md5, sha1: older digests that are published; checked where there is no SHA-256, for readers otherwise.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str = ""
    md5: str = ""
    sha1: str = ""

    def __post_init__(self) -> None:
        if not (self.sha256 or self.sha1 or self.md5):
            raise ValueError(f"{self.name} has no digest: a file that cannot be checked is not fetched")

    @property
    def digest(self) -> tuple[str, str]:
        """The strongest digest that is published: its kind as `hashlib` calls it, and its value."""
        return next((kind, value) for kind in ("sha256", "sha1", "md5") if (value := getattr(self, kind)))

    @property
    def checked_by(self) -> str:
        """What the file is told by: "SHA-256", "SHA-1", "MD5"."""
        return {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}[self.digest[0]]

    def is_at(self, path: Path) -> bool:
        """Whether `path` is this file: its size, where it is known, and its digest."""
        if not path.is_file() or (self.size and path.stat().st_size != self.size):
            return False
        kind, value = self.digest
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, kind).hexdigest().startswith(value)


@dataclass(frozen=True)
class Download:
    """A data set that is fetched once and kept in the cache.

    Args:
        name: what `load_data` calls it, and its folder in the cache and under `RUNG_DATA`.
        title: one line for lists.
        kind: "image", "table" or "characters".
        files: what is fetched.
        licence: terms of use as the authors or the distributing page state them.
        citation: the work to cite.
        loader: "module:function" that turns the files into `Data`.
        home: the page about it.
    """

    name: str
    title: str
    kind: str
    files: tuple[RemoteFile, ...]
    licence: str
    citation: str
    loader: str
    home: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files; 0 if that of one is not published."""
        return sum(f.size for f in self.files) if all(f.size for f in self.files) else 0


def _idx_files(bases: tuple[str, ...], facts: dict[str, tuple[int, str, str]]) -> tuple[RemoteFile, ...]:
    """The four files of a set in MNIST's layout, from `facts`: name -> (size, SHA-256, MD5)."""
    return tuple(RemoteFile(name, tuple(base + name for base in bases), *fact) for name, fact in facts.items())


def _fastai(name: str, pixels: int, *, file: tuple[int, str, str], title: str) -> Download:
    """One of fast.ai's parts of ImageNet in one size; `file` is (size, SHA-256, MD5) of its archive."""
    archive = f"{name}2-{pixels}.tgz"
    return Download(
        name=f"{name}-{pixels}",
        title=f"{title}, shorter side {pixels} pixels",
        kind="image",
        files=(RemoteFile(archive, (f"https://s3.amazonaws.com/fast-ai-imageclas/{archive}",), *file),),
        licence="the pictures are ImageNet's: for research and teaching that is not commercial; fast.ai's own work is Apache-2.0",
        citation="Howard 2019, Imagenette, github.com/fastai/imagenette; "
        "Deng, Dong, Socher, Li, Li, Fei-Fei 2009, ImageNet: a large-scale hierarchical image database, CVPR",
        loader="rungbook.data.picture_sets:load_parts",
        home="https://github.com/fastai/imagenette",
    )


_NETTE = "13,394 photographs of 10 classes of ImageNet that differ clearly"
_WOOF = "12,954 photographs of 10 breeds of dogs from ImageNet"

DOWNLOADS: dict[str, Download] = {
    d.name: d
    for d in (
        Download(
            name="mnist",
            title="70,000 handwritten digits, 28x28 grey, 10 classes",
            kind="image",
            files=_idx_files(
                ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
                {
                    "train-images-idx3-ubyte.gz": (
                        9912422,
                        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    ),
                    "train-labels-idx1-ubyte.gz": (
                        28881,
                        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                        "d53e105ee54ea40749a09fcbcd1e9432",
                    ),
                    "t10k-images-idx3-ubyte.gz": (
                        1648877,
                        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                        "9fb629c4189551a2d022fa330f9573f3",
                    ),
                    "t10k-labels-idx1-ubyte.gz": (
                        4542,
                        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                        "ec29112dd5afa0611ce80d1b7f02629c",
                    ),
                },
            ),
            licence="CC BY-SA 3.0 is often given; the authors' page states none",
            citation="LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, Proc. IEEE 86(11)",
            loader="rungbook.data.idx:load",
            home="http://yann.lecun.com/exdb/mnist/",
        ),
        Download(
            name="fashion-mnist",
            title="70,000 pictures of clothing, 28x28 grey, 10 classes",
            kind="image",
            files=_idx_files(
                (
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                ),
                {
                    "train-images-idx3-ubyte.gz": (
                        26421880,
                        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    ),
                    "train-labels-idx1-ubyte.gz": (
                        29515,
                        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                        "25c81989df183df01b3e8a0aad5dffbe",
                    ),
                    "t10k-images-idx3-ubyte.gz": (
                        4422102,
                        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                        "bef4ecab320f06d8554ea6380940ec79",
                    ),
                    "t10k-labels-idx1-ubyte.gz": (
                        5148,
                        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                        "bb300cfdad3c16e7a12a480ee83cd310",
                    ),
                },
            ),
            licence="MIT (Zalando SE)",
            citation="Xiao, Rasul, Vollgraf 2017, Fashion-MNIST: a novel image dataset, arXiv:1708.07747",
            loader="rungbook.data.idx:load",
            home="https://github.com/zalandoresearch/fashion-mnist",
        ),
        Download(
            name="cifar10",
            title="60,000 photographs, 32x32 colour, 10 classes",
            kind="image",
            files=(
                # The binary archive: the Python one holds the same pixels in pickles, which are programs and not data.
                RemoteFile(
                    "cifar-10-binary.tar.gz",
                    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                    170052171,
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                    "c32a1d4ab5d03f1284b67883e8d87530",
                ),
            ),
            licence="none stated by the authors",
            citation="Krizhevsky 2009, Learning multiple layers of features from tiny images, technical report, University of Toronto",
            loader="rungbook.data.cifar:load",
            home="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        Download(
            name="cifar100",
            title="60,000 photographs, 32x32 colour, 100 classes",
            kind="image",
            files=(
                RemoteFile(
                    "cifar-100-binary.tar.gz",
                    ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
                    168513733,
                    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                    "03b5dce01913d631647c71ecec9e9cb8",
                ),
            ),
            licence="none stated by the authors",
            citation="Krizhevsky 2009, Learning multiple layers of features from tiny images, technical report, University of Toronto",
            loader="rungbook.data.cifar:load_100",
            home="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        _fastai(
            "imagenette",
            160,
            title=_NETTE,
            file=(
                99003388,
                "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
                "e793b78cc4c9e9a4ccc0c1155377a412",
            ),
        ),
        _fastai(
            "imagenette",
            320,
            title=_NETTE,
            file=(
                341663724,
                "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
                "3df6f0d01a2c9592104656642f5e78a3",
            ),
        ),
        # The SHA-256 that are about for Imagewoof cannot be told to be those of its second release; sizes are fast.ai's, MD5s Catalyst's.
        _fastai("imagewoof", 160, title=_WOOF, file=(92612825, "", "3d200a7be99704a0d7509be2a9fbfe15")),
        _fastai("imagewoof", 320, title=_WOOF, file=(328387740, "", "0f46d997ec2264e97609196c95897a44")),
        Download(
            name="pets",
            title="7,349 photographs of 37 breeds of cats and dogs, about 200 each",
            kind="image",
            files=(
                RemoteFile(
                    "images.tar.gz",
                    ("https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",),
                    791918971,
                    "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                ),
                RemoteFile(
                    "annotations.tar.gz",
                    ("https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",),
                    19173078,
                    "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                ),
            ),
            licence="CC BY-SA 4.0; the photographs belong to their authors",
            citation="Parkhi, Vedaldi, Zisserman, Jawahar 2012, Cats and dogs, CVPR",
            loader="rungbook.data.picture_sets:load_pets",
            home="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        ),
        Download(
            name="hymenoptera",
            title="some 400 photographs of ants and bees",
            kind="image",
            files=(
                RemoteFile(
                    "hymenoptera_data.zip",
                    ("https://download.pytorch.org/tutorial/hymenoptera_data.zip",),
                    47286322,
                    "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",  # PyTorch's own: tutorials, download_data.py
                ),
            ),
            licence="none stated; the pictures are ImageNet's: for research and teaching that is not commercial",
            citation="Chilamkurthy, Transfer learning for computer vision, PyTorch tutorials",
            loader="rungbook.data.picture_sets:load_parts",
            home="https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html",
        ),
        Download(
            name="hot-dog",
            title="photographs of hot dogs and of other things, 1,000 each to learn from, 400 each to test",
            kind="image",
            files=(
                # The course publishes the SHA-1, and nobody the size.
                RemoteFile(
                    "hotdog.zip",
                    ("http://d2l-data.s3-accelerate.amazonaws.com/hotdog.zip",),
                    0,
                    sha1="fba480ffa8aa7e0febbb511d181409f899b9baa5",
                ),
            ),
            licence="none stated; pictures found on the web",
            citation="Zhang, Lipton, Li, Smola 2023, Dive into deep learning, section 14.2, Cambridge University Press",
            loader="rungbook.data.picture_sets:load_parts",
            home="https://d2l.ai/chapter_computer-vision/fine-tuning.html",
        ),
        Download(
            name="dogs-vs-cats",
            title="25,000 photographs of all sizes, dogs or cats",
            kind="image",
            files=(
                # Microsoft publishes no checksum. The size is what its server states, the SHA-256 the one GoMLX's downloader checks.
                RemoteFile(
                    "kagglecatsanddogs_5340.zip",
                    ("https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",),
                    824887076,
                    "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
                ),
            ),
            licence="CDLA-Permissive-2.0, in the archive",
            citation="Elson, Douceur, Howell, Saul 2007, Asirra: a CAPTCHA that exploits interest-aligned manual image categorization, CCS",
            loader="rungbook.data.dogscats:load",
            home="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
        ),
        Download(
            name="auto-mpg",
            title="392 cars: fuel consumption from cylinders, displacement and weight",
            kind="table",
            files=(
                # UCI publishes no checksum for its auto-mpg.data, and a file without one is not fetched. This is the copy of its 392
                # complete rows (four columns) at a fixed commit of Parr's notebooks.
                RemoteFile(
                    "cars.csv",
                    (
                        "https://raw.githubusercontent.com/parrt/fundamentals-of-deep-learning/6548a01d53d072914e4b400148b9ae251b59370f/notebooks/data/cars.csv",
                    ),
                    5996,
                    "f315338d324d3d094f6116cce788b956082273ac381d91558afee3222281429a",
                ),
            ),
            licence="CC BY 4.0 (UCI Machine Learning Repository); the repository of this copy is MIT",
            citation="Quinlan 1993, Auto MPG, UCI Machine Learning Repository, doi:10.24432/C5859H",
            loader="rungbook.data.autompg:load",
            home="https://archive.ics.uci.edu/dataset/9/auto+mpg",
        ),
        Download(
            name="kaggle-house",
            title="1,460 house sales in Ames, Iowa: price from 79 columns",
            kind="table",
            files=(
                # The course publishes its SHA-1, 585e9cc93e70b39160e7921475f9bcd7d31219ce. The test file has no prices.
                RemoteFile(
                    "kaggle_house_pred_train.csv",
                    ("http://d2l-data.s3-accelerate.amazonaws.com/kaggle_house_pred_train.csv",),
                    460676,
                    "1e18addf81e5e4d347cc17ee6075bbe4a42b7fa26b9e5b063e8f692a5f929d41",
                ),
            ),
            licence="none stated (Kaggle competition House Prices: Advanced Regression Techniques)",
            citation="De Cock 2011, Ames, Iowa: alternative to the Boston housing data as an end of semester regression project, "
            "Journal of Statistics Education 19(3)",
            loader="rungbook.data.kaggle_house:load",
            home="https://www.kaggle.com/c/house-prices-advanced-regression-techniques",
        ),
        Download(
            name="tiny-shakespeare",
            title="1.1 million characters of Shakespeare's plays; the task is the next character",
            kind="characters",
            files=(
                RemoteFile(
                    "input.txt",
                    (
                        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                        "https://raw.githubusercontent.com/karpathy/char-rnn/d1d7aa34fdb3626174bce1d753e6cc6845ce7087/data/tinyshakespeare/input.txt",
                    ),
                    1115394,
                    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                ),
            ),
            licence="the text is in the public domain",
            citation="Karpathy 2015, The unreasonable effectiveness of recurrent neural networks",
            loader="rungbook.data.characters:load",
            home="https://github.com/karpathy/char-rnn",
        ),
    )
}
"""Name -> data set."""
