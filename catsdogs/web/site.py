"""The site is what the pages show: the folders, the data set, and the run that predicts."""

from dataclasses import dataclass
from pathlib import Path

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.photographs.dataset import Dataset


@dataclass(frozen=True)
class Site:
    """The places of all that the pages show.

    Attributes:
        submissions: the folder of runs.
        features: the folder of feature files, suspects and decisions.
        dataset: the photographs, if they are still there.
        classes: what a photograph may be relabelled as.
        run: the name of the run that predicts, or empty.
    """

    submissions: Path
    features: Path
    dataset: Dataset | None
    classes: tuple[str, ...]
    run: str

    @property
    def suspects(self) -> Path:
        """The table of suspects."""
        return self.features / suspect_table.OUTLIERS_FILE

    @property
    def decisions(self) -> Path:
        """The table of decisions."""
        return self.features / decisions.DECISIONS_FILE
