"""What the machines together allow, as far as they said so, and what that makes of a tool (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, get_args

from relay.announced import AnnouncedAction, AnnouncedProject, Mode
from relay.errors import Code, Problem, unknown_machine
from relay.names import spoken_key
from relay.projects import MachineProjects

May = Callable[[AnnouncedProject], bool]
"""Whether a project allows what a tool does."""
Schema = dict[str, Any]  # Any: JSON
Narrow = Callable[[Schema, Sequence[AnnouncedProject]], None]
"""Changes a tool's schema by what these projects allow."""
MODES = get_args(Mode)


class Offers:
    """Every machine with its projects. A machine that said nothing allows everything: it decides
    itself, and nobody shall be kept from asking it."""

    def __init__(self, machines: Sequence[MachineProjects]) -> None:
        self.machines = machines
        self.is_complete = all(one.projects is not None for one in machines)
        """Whether every machine said what it allows."""

    def projects(self, may: May) -> list[AnnouncedProject]:
        """The projects that allow something, of all machines."""
        return [project for one in self.machines for project in one.projects or () if may(project)]

    def allows(self, may: May) -> bool:
        """Whether something may be asked for anywhere."""
        return not self.is_complete or bool(self.projects(may))

    def find(self, project: str | None, machine: str | None, may: May) -> tuple[str | None, str | None]:
        """The names of the project and the machine that a caller means by *project*, a name or an
        alias, and *machine*; None where the machine or the relay knows better.

        Raises Problem for a machine that there is not, and for a project that nobody has, that several
        machines have, or that does not allow it: a machine that sleeps would say so hours later."""
        known = [one.machine for one in self.machines]
        if machine is not None and machine not in known:
            raise unknown_machine(machine, known, "machine")
        if project is None:
            return None, machine
        wanted = spoken_key(project)
        asked = Offers([one for one in self.machines if machine in (None, one.machine)])
        found = [
            (one.machine, its)
            for one in asked.machines
            for its in one.projects or ()
            if wanted in {spoken_key(its.name), *map(spoken_key, its.aliases)}
        ]
        if len(found) != 1:
            return _none_or_several(asked, project, machine, found)
        ((name, its),) = found
        if not may(its):
            raise _refused(f"Project {its.name} does not allow that; these do", self.projects(may))
        return its.name, name

    def actions(self) -> dict[str, AnnouncedAction]:
        """The actions that owners added, by name; of those with one name, the first machine's."""
        return {its.name: its for one in reversed(self.machines) for its in one.actions}

    def machine_for(self, action: str) -> str | None:
        """The only machine that has *action*; None when there are several."""
        found = [one.machine for one in self.machines if action in {its.name for its in one.actions}]
        return found[0] if len(found) == 1 else None

    def narrow(self, schema: Schema, may: May | None, more: Narrow | None = None) -> Schema:
        """A tool's *schema* with what is allowed in place of what is thinkable. *more* goes on with
        what only this tool has."""
        schema = deepcopy(schema)
        schema.pop("title", None)
        schema["additionalProperties"] = False
        fields: dict[str, Schema] = schema["properties"]
        for name, field in fields.items():
            fields[name] = _plain(field)
        if len(self.machines) == 1:
            fields.pop("machine", None)
        if may is not None and self.is_complete:
            self._name_projects(schema, self.projects(may))
            if more:
                more(schema, self.projects(may))
        return schema

    def _name_projects(self, schema: Schema, allowed: Sequence[AnnouncedProject]) -> None:
        fields = schema["properties"]
        fields["project"]["enum"] = sorted({one.name for one in allowed})
        also = [f"{alias} = {one.name}" for one in allowed for alias in one.aliases]
        if also:
            fields["project"]["description"] += f" Also called: {'; '.join(also)}."
        if len(self.projects(lambda _: True)) > 1:
            schema["required"] = [*schema.get("required", ()), "project"]


def name_modes(schema: Schema, allowed: Sequence[AnnouncedProject]) -> None:
    """Offer those modes of Claude Code that are allowed somewhere."""
    field = schema["properties"]["mode"]
    field["enum"] = [mode for mode in MODES if any(mode in one.claude for one in allowed)]
    if field["default"] not in field["enum"]:
        del field["default"]
        schema["required"] = [*schema["required"], "mode"]


def name_commands(schema: Schema, allowed: Sequence[AnnouncedProject]) -> None:
    """Offer free commands and named ones each only where there are some."""
    fields = schema["properties"]
    named: Mapping[str, Sequence[str]] = {k: v for one in allowed for k, v in one.commands.items()}
    if named:
        fields["name"]["enum"] = sorted(named)
        holes = [f"{name} takes {', '.join(taken)}" for name, taken in sorted(named.items()) if taken]
        if holes:
            fields["values"]["description"] += f" {'; '.join(holes)}."
    else:
        del fields["name"], fields["values"]
    if all(one.shell == "named" for one in allowed):
        del fields["command"]
        schema["required"] = [*schema.get("required", ()), "name"]


def _plain(field: Schema) -> Schema:
    """The same without null: a field that may be left out need not be null as well."""
    field = {name: value for name, value in field.items() if name != "title"}
    kinds = [kind for kind in field.pop("anyOf", ()) if kind != {"type": "null"}]
    if kinds and field.get("default", ...) is None:
        del field["default"]
    return {**kinds[0], **field} if len(kinds) == 1 else {**field, **({"anyOf": kinds} if kinds else {})}


def _none_or_several(
    asked: Offers, project: str, machine: str | None, found: Sequence[tuple[str, AnnouncedProject]]
) -> tuple[str, str | None]:
    if len({name for name, _ in found}) > 1:
        places = " and ".join(sorted({name for name, _ in found}))
        raise Problem(Code.MALFORMED, f"{project} is on {places}; say which as machine", field="machine")
    if found or not asked.is_complete:
        # One machine that knows several by this name, or one that has not told its names.
        return project, machine
    where = f" on {machine}" if machine else ""
    there = asked.projects(lambda _: True)
    raise _refused(f"There is no project {project[:60]!r}{where}; there are", there)


def _refused(what: str, allowed: Sequence[AnnouncedProject]) -> Problem:
    names = ", ".join(sorted({one.name for one in allowed})) or "none"
    return Problem(Code.MALFORMED, f"{what}: {names}", field="project")
