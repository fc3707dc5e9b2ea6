"""Which files are photographs, which pictures cannot be read, and which files belong to the system."""

import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from PIL import features

# The formats in data sets and uploads that this Pillow reads. It knows some forty more, and starts Ghostscript for EPS.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"),
    *(("AVIF",) if find_spec("PIL._avif") else ()),  # loading it would take ten milliseconds
    *(("JPEG2000",) if features.check_codec("jpg_2000") else ()),
)
# An optional package: it brings decoders that are not free everywhere.
READS_HEIF = find_spec("pillow_heif") is not None

_AVIF = (".avif", ".avifs")
_HEIF = (".heic", ".heif", ".heics", ".heifs", ".hif")
_JPEG2000 = (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")
PHOTO_SUFFIXES = (
    *(".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"),
    *(_AVIF if "AVIF" in FORMATS else ()),
    *(_JPEG2000 if "JPEG2000" in FORMATS else ()),
    *(_HEIF if READS_HEIF else ()),
)
_CONVERT = "convert them to JPEG or PNG"
_DICOM_HINT = "write each DICOM file as PNG, such as with dcmj2pnm of DCMTK, or with pydicom and Pillow"
_ARRAY_HINT = "write each array as a picture, with Pillow's Image.fromarray(array).save('ID.png')"
_HEIF_HINT = "HEIC is read once pillow-heif is installed: pip install pillow-heif"
_AVIF_HINT = "AVIF is read by Pillow 11.3 and later: pip install --upgrade pillow"
_RAW_HINT = "a camera's raw files have to be developed: export them as JPEG"
_RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_OTHERS = (
    *(".bpg", ".dds", ".dib", ".emf", ".eps", ".exr", ".fits", ".hdr", ".icns", ".ico", ".jxl"),
    *(".jxr", ".pbm", ".pcx", ".pgm", ".pict", ".pnm", ".ppm", ".psb", ".psd", ".qoi", ".ras", ".sgi"),
    *(".svg", ".svgz", ".tga", ".wdp", ".wmf", ".xbm", ".xcf", ".xpm"),
)
_DICOM = (".dcm", ".dicom")
_HINTS_FOR = {
    _HEIF: _HEIF_HINT, _AVIF: _AVIF_HINT, _RAW: _RAW_HINT, _DICOM: _DICOM_HINT, (*_JPEG2000, *_OTHERS): _CONVERT,
}  # fmt: skip
# What pictures may be packed into, named where there is no photograph -> what their owner can do.
_PACKED = {
    **dict.fromkeys((".npy", ".npz", ".mat", ".pkl", ".pickle", ".h5", ".hdf5", ".parquet", ".feather"), _ARRAY_HINT),
    ".json": _ARRAY_HINT,
    ".bson": "write each picture out of the BSON, with pymongo's bson.decode_file_iter",
    **dict.fromkeys((".7z", ".rar"), "unpack it: 7z x FILE"),
    **dict.fromkeys((".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz"), "unpack it: tar xf FILE"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv"), "write its frames as pictures: ffmpeg -i FILE frame-%05d.jpg"),
}
# Suffixes of pictures that are not read -> what their owner can do.
_LEFT_ALONE = {suffix: hint for kind, hint in _HINTS_FOR.items() for suffix in kind if suffix not in PHOTO_SUFFIXES}
_SHOWN_NAMES = 3

# Files that systems and programs put beside people's, compared without case; so are all that begin with a dot.
_SYSTEM_FILES = {
    *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
    *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
    *("lost+found", "lost.dir", "__pycache__"),  # Linux, Android, Python
    *(f"found.{number:03}" for number in range(1000)),  # from Windows' check of a disk
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot", "~snapshot"),  # NAS
}

HEAD_BYTES = 32  # from the start of a file, by which its format is recognised
_SUFFIX = re.compile(r".\.(?=\d*[a-z])[a-z0-9]{1,8}$", re.IGNORECASE)  # `cat.0` has none, `cat.7z` has
_PICTURE_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II[*+]\0|MM\0[*+]"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    re.DOTALL,
)
_HEIF_MAGIC = re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_AVIF_MAGIC = re.compile(rb"....ftypavi[fs]", re.DOTALL)


def is_photograph(name: str) -> bool:
    """Whether a file is a photograph, by its suffix; of files without one, `locations` lists only pictures."""
    return name.lower().endswith(PHOTO_SUFFIXES) or not has_suffix(name)


def has_suffix(name: str) -> bool:
    """Whether a name ends in a file type; a number behind a dot is none."""
    return _SUFFIX.search(name.rpartition("/")[2]) is not None


def is_picture(head: bytes) -> bool:
    """Whether a file is a picture, by its first `HEAD_BYTES`."""
    return any(magic.match(head) for magic in (_PICTURE_MAGIC, _HEIF_MAGIC, _AVIF_MAGIC))


def is_system_file(name: str) -> bool:
    """Whether a file or folder of that name was put there by a system or program, not by a person."""
    return name[:1] == "." or name.lower() in _SYSTEM_FILES


def left_alone(names: Iterable[str]) -> list[str]:
    """The names of pictures of kinds that are not read."""
    return [name for name in names if _suffix(name) in _LEFT_ALONE]


def describe_unread(names: Sequence[str]) -> str:
    """A clause about pictures that are not read: how many, the first of them, and what can be done."""
    more = len(names) - _SHOWN_NAMES
    shown = ", ".join(names[:_SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")
    hints = dict.fromkeys(_LEFT_ALONE[_suffix(name)] for name in names)
    pictures = "1 picture of a kind that is" if len(names) == 1 else f"{len(names):,} pictures of kinds that are"
    return f"{pictures} not read: {shown} ({'; '.join(hints)})"


def describe_instead(names: Iterable[str]) -> str:
    """A clause about what lies where there are no photographs: how many files of which kinds, and what can be done."""
    hints = _LEFT_ALONE | _PACKED
    by_suffix: dict[str, list[str]] = {}
    for name in names:
        if (suffix := _suffix(name)) in hints:
            by_suffix.setdefault(suffix, []).append(name)
    kinds = sorted(by_suffix.items(), key=lambda kind: -len(kind[1]))[:_SHOWN_NAMES]
    counted = [f"{len(found):,} {suffix} ({found[0]})" for suffix, found in kinds]
    todo = dict.fromkeys(hints[suffix] for suffix, _ in kinds)
    return f"{', '.join(counted)}: {'; '.join(todo)}" if kinds else ""


def reason_undecodable(data: bytes) -> str:
    """Why no decoder reads these bytes, and what can be done where that is known."""
    if _HEIF_MAGIC.match(data) and not READS_HEIF:
        return f"not a picture that is read; {_HEIF_HINT}"
    if _AVIF_MAGIC.match(data) and "AVIF" not in FORMATS:
        return f"not a picture that is read; {_AVIF_HINT}"
    if is_picture(data):
        return "not a picture that can be read: it is damaged, or of a kind that Pillow does not know"
    return "not a picture"


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2].lower()}"
