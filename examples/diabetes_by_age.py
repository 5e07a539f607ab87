"""A table whose rows have owners: 442 patients by sex and decade of age, which fedchunk takes for 13 clients.

python examples/diabetes_by_age.py data/diabetes.csv    # scikit-learn ships the data, and MLflow brings scikit-learn

The measurements are those of Efron, Hastie, Johnstone and Tibshirani (Least Angle Regression, 2004). What is to be
foretold is how far the disease has gone a year later.
"""

import argparse
import csv
from pathlib import Path

from sklearn.datasets import load_diabetes

SEX = {1: "a", 2: "b"}
"""The data do not say which is which."""


def main() -> None:
    """Writes the table, and says what is in it."""
    parser = argparse.ArgumentParser(description="Writes scikit-learn's diabetes data with a column of groups.")
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path("data/diabetes.csv"), help="without: data/diabetes.csv"
    )
    file = parser.parse_args().file
    bunch = load_diabetes(scaled=False)
    age, sex = (bunch.feature_names.index(name) for name in ("age", "sex"))
    groups = [f"{SEX[int(row[sex])]}-{int(row[age]) // 10 * 10}" for row in bunch.data]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["group", *bunch.feature_names, "progression"])
        for group, row, target in zip(groups, bunch.data.tolist(), bunch.target.tolist(), strict=True):
            writer.writerow([group, *row, target])
    print(
        f"{file}: {len(groups)} patients in {len(set(groups))} groups of {min(map(groups.count, groups))} to "
        f"{max(map(groups.count, groups))}"
    )


if __name__ == "__main__":
    main()
