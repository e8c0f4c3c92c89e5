"""Reads mibs/POSTFIX-MIB.txt. Python's own library only: whoever changes the MIB can run the generator without installing anything."""

import pathlib
import re

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# netSnmpPlaypen, which the module imports, and the module's own last line.
PLAYPEN = "1.3.6.1.4.1.8072.9999.9999"

NODE = re.compile(r"(?m)^(\w+)\s+OBJECT IDENTIFIER\s*::=\s*\{\s*(\w+)\s+(\d+)\s*\}")
OBJECT = re.compile(
    r"(?m)^(\w+)\s+OBJECT-TYPE\s+SYNTAX\s+(.*?)\s+(?:UNITS\s+\"([^\"]*)\"\s+)?MAX-ACCESS\s+(\S+)\s+STATUS\s+\S+"
    r"\s+DESCRIPTION\s+\"([^\"]*)\"\s+(?:INDEX\s+\{\s*([^}]*?)\s*\}\s+|AUGMENTS\s+\{\s*(\w+)\s*\}\s+)?::=\s*\{\s*(\w+)\s+(\d+)\s*\}",
    re.S,
)
NOTIFICATION = re.compile(r"(?m)^(\w+)\s+NOTIFICATION-TYPE\b.*?::=\s*\{\s*postfixNotifications\s+(\d+)\s*\}", re.S)


class Object:
    """One OBJECT-TYPE: a scalar, a table, an entry or a column."""

    def __init__(self, match, oid):
        self.name, self.syntax, self.units, self.access, text = match.group(1, 2, 3, 4, 5)
        self.oid = oid
        self.raw = text
        self.description = " ".join(text.split())
        self.index = match[6].replace(" ", "").split(",") if match[6] else []
        self.augments = match[7]
        self.parent = match[8]
        self.enum = {}
        if self.syntax.startswith("INTEGER {"):
            self.enum = {int(value): label for label, value in re.findall(r"([\w-]+)\s*\((-?\d+)\)", self.syntax)}
        self.base = re.split(r"[\s({]", self.syntax)[0]

    @property
    def readable(self):
        return self.access == "read-only"

    @property
    def counter(self):
        return self.base.startswith("Counter")

    @property
    def text(self):
        return self.base in ("SnmpAdminString", "DateAndTime")

    @property
    def first(self):
        """The first sentence, which stands alone."""
        return re.split(r"(?<=[.])\s", self.description, maxsplit=1)[0]


class Mib:
    """All of the module, by name."""

    def __init__(self, file=None):
        source = (file or REPOSITORY / "mibs/POSTFIX-MIB.txt").read_text()
        # Comments end at the line's end; two hyphens in a string are none.
        source = re.sub(r"(\"[^\"]*\")|--[^\n]*", lambda m: m[1] or "", source)
        last = int(re.search(r"::=\s*\{\s*netSnmpPlaypen\s+(\d+)\s*\}", source)[1])
        self.root = f"{PLAYPEN}.{last}"
        self.oids = {"postfixMIB": self.root}
        self.objects = {}
        places = [(m.start(), m, False) for m in NODE.finditer(source)] + [(m.start(), m, True) for m in OBJECT.finditer(source)]
        for _, match, is_object in sorted(places, key=lambda place: place[0]):
            name = match[1]
            parent, number = (match[8], match[9]) if is_object else (match[2], match[3])
            self.oids[name] = f"{self.oids[parent]}.{number}"
            if is_object:
                self.objects[name] = Object(match, self.oids[name])
        # By name, its number below the root's arc 0.
        self.notifications = {m[1]: int(m[2]) for m in NOTIFICATION.finditer(source)}
        self.tables = {}
        for entry in list(self.objects.values()):
            if entry.augments:
                entry.index = self.objects[entry.augments].index
            if entry.index:
                self.tables[entry.parent] = Table(self, entry)

    def __getitem__(self, name):
        return self.objects[name]

    def __contains__(self, name):
        return name in self.objects

    def table_of(self, column):
        """The table a column stands in, None for a scalar."""
        return self.tables.get(self.objects.get(self.objects[column].parent, self.objects[column]).parent)

    def readable(self):
        return [o for o in self.objects.values() if o.readable]

    def below(self, prefix):
        """Accessible objects whose names begin so, in the order of the module."""
        return [o.name for o in self.readable() if o.name.startswith(prefix)]


class Table:
    def __init__(self, mib, entry):
        self.entry = entry
        self.name = entry.parent
        self.oid = mib.oids[entry.parent]
        self.index = [mib.objects[name] for name in entry.index]
        self.columns = [o for o in mib.objects.values() if o.parent == entry.name and o.readable]
        self.prefix = self.name.removesuffix("Table")
        # The name of a row, unique in its table, which begins with the instance's.
        named = [o for o in self.columns if o.name == self.prefix + "Name"]
        self.row_name = named[0] if named else None
