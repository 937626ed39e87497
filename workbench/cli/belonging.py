"""Which options belong to which choices; one that means nothing is refused instead of ignored.

What a method's own options are, the method says itself (``Method.options``). A verb turns that
into rules with ``owned``, adds its own with ``needs`` and ``beside``, and ``refuse_idle`` holds
whatever was given against all of them.
"""

import argparse
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from workbench.errors import SettingsError
from workbench.method import Method


@dataclass(frozen=True)
class Condition:
    """A choice that gives an option its meaning.

    Attributes:
        choice: Name of the option that chooses.
        names: Those choices of it that do; empty where any does.
        told: What they are, where they are too many to name.
    """

    choice: str
    names: tuple[str, ...] = ()
    told: str = ""

    def holds(self, arguments: argparse.Namespace) -> bool:
        """Whether it was chosen; numbers behind a name, as in ``cluster:4``, do not matter."""
        chosen = _chosen(arguments, self.choice)
        if not self.names:
            return bool(chosen)
        return any(name.partition(":")[0] in self.names for name in chosen)


@dataclass(frozen=True)
class Rule:
    """When an option means something.

    Attributes:
        option: Its name.
        conditions: One of these has to hold; none where it is about ``without`` alone.
        without: And this one must not hold.
    """

    option: str
    conditions: tuple[Condition, ...] = ()
    without: Condition | None = None


def owned(choice: str, methods: Mapping[str, Method], *others: Condition) -> list[Rule]:
    """A rule for every option that some of the methods call their own.

    Args:
        choice: Name of the option that chooses among the methods; empty where every method is
            switched on by an option of its own name.
        methods: By name.
        others: Whatever else gives these options a meaning.
    """
    owners: dict[str, list[str]] = {}
    for name, method in methods.items():
        for option in method.options:
            owners.setdefault(option, []).append(name)
    return [
        Rule(option, (*_conditions(choice, names), *others)) for option, names in owners.items()
    ]


def _conditions(choice: str, names: Iterable[str]) -> tuple[Condition, ...]:
    if choice:
        return (Condition(choice, tuple(names)),)
    return tuple(Condition(name) for name in names)


def needs(options: Iterable[str], *conditions: Condition) -> list[Rule]:
    """Options that mean nothing unless one of the conditions holds."""
    return [Rule(option, conditions) for option in options]


def beside(options: Iterable[str], choice: str, *names: str) -> list[Rule]:
    """Options that mean nothing beside another, or beside some of its choices."""
    return [Rule(option, without=Condition(choice, names)) for option in options]


def add_rules(parser: argparse.ArgumentParser, *rules: Iterable[Rule]) -> None:
    """Have options held against rules after parsing, in this order."""
    before: tuple[Rule, ...] = parser.get_default("rules") or ()
    parser.set_defaults(rules=(*before, *(rule for some in rules for rule in some)))


def given_options(parser: argparse.ArgumentParser, verb: argparse.ArgumentParser,
                  words: Collection[str]) -> set[str]:  # fmt: skip
    """Names of the options that stand in the words; the verb's defaults are lost by it."""
    for action in verb._actions:
        action.default = argparse.SUPPRESS
    verb._defaults.clear()
    return set(vars(parser.parse_known_args(list(words))[0]))


def refuse_idle(
    arguments: argparse.Namespace, given: Collection[str], flags: Mapping[str, str]
) -> None:
    """Refuse an option that was given and means nothing beside the others.

    Args:
        arguments: All values; ``rules`` among them where there are some.
        given: Names of the options that stand in the command.
        flags: Name of an option to how it is written.

    Raises:
        SettingsError: With the choices that the option belongs to.
    """
    for rule in getattr(arguments, "rules", ()):
        if rule.option not in given:
            continue
        flag = flags[rule.option]
        if rule.without is not None and rule.without.holds(arguments):
            other = _written(rule.without, arguments, flags)
            raise SettingsError(
                f"{flag} means nothing beside {other}.", "Leave one of the two out."
            )
        if rule.conditions and not any(one.holds(arguments) for one in rule.conditions):
            raise SettingsError(*_told(rule, arguments, flags))


def _told(
    rule: Rule, arguments: argparse.Namespace, flags: Mapping[str, str]
) -> tuple[str, str]:  # fmt: skip
    """What is true, and what to do."""
    flag = flags[rule.option]
    owners = [one.told or _joined(flags[one.choice], _listed(one.names)) for one in rule.conditions]
    first = rule.conditions[0]
    hint = f"It belongs to {' or to '.join(owners)}: choose that, or leave {flag} out."
    if first.names and _chosen(arguments, first.choice):
        return f"{flag} means nothing with {_written(first, arguments, flags)}.", hint
    if any(one.names for one in rule.conditions):
        return f"{flag} means nothing here.", hint
    head = f"{flag} means nothing without {' or '.join(owners)}."
    return head, f"Give that as well, or leave {flag} out."


def _written(one: Condition, arguments: argparse.Namespace, flags: Mapping[str, str]) -> str:
    """How the choice of a condition stands in the command."""
    chosen = ",".join(_chosen(arguments, one.choice)) if one.names else ""
    return _joined(flags[one.choice], chosen)


def _joined(flag: str, names: str) -> str:
    """An option with its choices; what has no flag is written without one."""
    return f"{flag} {names}".strip() if flag.startswith("-") else names or flag


def _chosen(arguments: argparse.Namespace, choice: str) -> tuple[str, ...]:
    """What was chosen, as words; nothing where an option is off or left out."""
    value = getattr(arguments, choice)
    if not value:
        return ()
    return tuple(map(str, value)) if isinstance(value, tuple | list) else (str(value),)


def _listed(names: Iterable[str]) -> str:
    *most, last = [*names] or [""]
    return f"{', '.join(most)} or {last}" if most else last
