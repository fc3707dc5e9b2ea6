"""Fuzzes `labels.classes_and_rows` and `choose_table`: the input is file names, and after a zero byte a label table."""

import atheris

with atheris.instrument_imports(include=["catsdogs"]):
    from catsdogs.photographs import labels

from fuzz import harness
from tests.faults import specimens

SEEDS = (
    "train/cat.0.jpg\ntrain/dog.0.jpg\ntest/1.jpg",
    "Cat/0.jpg\nDog/0.jpg",
    "pets/images/shiba_inu_1.jpg\npets/images/Bengal_2.jpg\npets/annotations/Bengal_2.png",
    "a.jpg\nb.jpg\nlabels.csv\0id,label\na,cat\nb,dog",
    "IMG_1.jpg\nIMG_2.jpg\nwhich.csv\0file,class\nIMG_1.jpg,cat\r\n'IMG_2',dog",
)


def target(data: bytes) -> None:
    listed, _, table = data.decode(errors="replace").partition("\0")
    names = list(dict.fromkeys(listed.split("\n")))

    def parse() -> None:
        tables = [name for name in names if name.endswith(".csv")]
        chosen = labels.choose_table(names, tables, "root")
        photographs = labels.photographs(names)
        classes, rows = labels.classes_and_rows(photographs, (chosen, table) if chosen else None)
        assert all(-1 <= label < len(classes) for _, _, label, _ in rows)  # noqa: S101 - a finding
        assert len({row[:2] for row in rows}) == len(rows)  # noqa: S101 - a finding

    harness.refused(parse)


if __name__ == "__main__":
    tabled = "\n".join(f"{id}.jpg" for id in specimens.IDS) + "\nlabels.csv\0" + specimens.LABELS.decode()
    harness.main(target, [text.encode() for text in (*SEEDS, tabled)])
