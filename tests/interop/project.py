"""The project under test as a Python client sees it, and how checks are told."""

import re
import sys
from pathlib import Path


def check(what, holds):
    """One line a check; the first that does not hold ends everything."""
    print(f"{'good ' if holds else 'wrong'}  {what}", flush=True)
    if not holds:
        sys.exit(1)


class Project:
    """A folder that `payrun init` made."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.yaml = self.read("payrun.yaml")

    def read(self, name):
        return (self.folder / name).read_text(encoding="utf-8")

    def field(self, name):
        """The first field of this name in payrun.yaml; the account hk stands first."""
        return re.search(rf'^ +{name}: "?([^"\n]+)"?$', self.yaml, re.MULTILINE)[1]

    def configure(self, name, base_url):
        """A configuration of the account hk alone, at another address and with a ledger of its own."""
        own = self.yaml.split("\n  # The sandbox has the other kinds")[0]
        own = re.sub(r"^    base_url: .*$", f"    base_url: {base_url}", own, flags=re.MULTILINE)
        own = own.replace("database: payrun.db", f"database: {name}.db")
        (self.folder / f"{name}.yaml").write_text(own, encoding="utf-8")
        return f"{name}.yaml"
