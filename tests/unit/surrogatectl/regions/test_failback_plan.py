"""The rules of failback: they are the tables of ADR 7, and answer everything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import pytest

from surrogatectl.regions import failback_plan as plan
from surrogatectl.regions.failback_plan import Action, Fact, Known, Rule, decide, known_after

ADR = Path(__file__).parents[4] / "docs" / "adr" / "0007-who-writes-and-failback.md"
TABLES = {"brings records back": plan.BRING_BACK, "replicates": plan.REPLICATE}
EACH_TABLE = pytest.mark.parametrize("rules", TABLES.values(), ids=TABLES)
LABELS_COST_CALLS = {plan.Lineage, plan.HeldVersion}


def words(fact: Fact) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", fact.__name__).lower()


def row(rule: Rule) -> tuple[str, str, str]:
    """Return *rule* as ADR 7 writes it."""
    when = ", ".join(f"{words(type(each))}: {each}" for each in rule.when)
    return when or "otherwise", rule.action, f"`{rule.counts}`" if rule.counts else ""


def rows_after(text: str) -> list[tuple[str, ...]]:
    """Return the rows of the table in ADR 7 that follows *text*."""
    lines = iter(ADR.read_text().splitlines())
    assert any(f"failback {text}" in line for line in lines)
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
        elif table:
            break
    return table[2:]


def decisions(rules: Sequence[Rule], known: Known) -> Iterator[tuple[Known, Rule]]:
    """Yield every decision that can follow *known*, with the facts that it asked for."""
    step = decide(rules, known)
    if isinstance(step, Rule):
        yield known, step
        return
    for answer in step:
        yield from decisions(rules, {**known, step: answer})


def asked_for(rules: Sequence[Rule], *answers: StrEnum) -> set[Fact]:
    """Return the facts that a decision asks for, whose answers are the first or *answers*."""
    known: dict[Fact, StrEnum] = {}
    while not isinstance(step := decide(rules, known), Rule):
        known[step] = next((each for each in answers if type(each) is step), next(iter(step)))
    return set(known)


@pytest.mark.parametrize("text", TABLES)
def test_rules_are_the_tables_of_adr_7(text: str) -> None:
    assert rows_after(text) == [row(rule) for rule in TABLES[text]]


def test_adr_7_explains_every_fact() -> None:
    explained = [fact for fact, *_ in rows_after("pays for a fact only where a row asks for it.")]
    facts = {type(each) for rules in TABLES.values() for rule in rules for each in rule.when}
    assert sorted(explained) == sorted(map(words, facts))


@EACH_TABLE
def test_every_answer_leads_to_a_rule_and_every_rule_is_reached(rules: Sequence[Rule]) -> None:
    reached = {id(rule) for _, rule in decisions(rules, {})}
    assert reached == set(map(id, rules))


@EACH_TABLE
def test_deciding_again_ends_after_four_actions(rules: Sequence[Rule]) -> None:
    states: list[Known] = [{}]
    for _ in range(4):
        after = [
            known_after(rule.action, known)
            for state in states
            for known, rule in decisions(rules, state)
        ]
        states = [each for each in after if each is not None]
    assert not states


def test_only_a_version_that_the_primary_held_is_overwritten() -> None:
    for known, rule in decisions(plan.REPLICATE, {}):
        if rule.action is Action.OVERWRITE:
            assert known[plan.HeldVersion] is plan.HeldVersion.YES


def test_a_secret_of_the_secondarys_own_is_deleted_only_for_a_reason() -> None:
    for known, rule in decisions(plan.REPLICATE, {}):
        if rule.action is Action.REMOVE:
            late = known.get(plan.WriterBefore) is plan.WriterBefore.PRIMARY
            tombstone = known.get(plan.SecondaryRecord) is plan.SecondaryRecord.DELETED
            assert (
                known.get(plan.HeldVersion) is plan.HeldVersion.YES
                or known.get(plan.Choice) is plan.Choice.PRIMARY
                or known[plan.SecondaryRecord] is plan.SecondaryRecord.UNFINISHED
                or (late and tombstone)
            )


def test_a_split_is_never_decided_without_a_choice() -> None:
    for known, rule in decisions(plan.BRING_BACK, {}):
        chosen = known.get(plan.Choice) in {plan.Choice.PRIMARY, plan.Choice.SECONDARY}
        if rule.action in {Action.PUT_BEHIND, Action.RESTORE}:
            assert chosen
        if rule.action is Action.COPY and not chosen:
            forward = known[plan.Lineage] is plan.Lineage.FORWARD
            assert forward or known[plan.PrimaryRecord] is plan.PrimaryRecord.ENROLLING


def test_a_record_that_is_the_same_costs_no_further_call() -> None:
    asked = asked_for(plan.BRING_BACK, plan.SecondaryRecord.LIVE, plan.Versions.SAME)
    assert asked == {plan.SecondaryRecord, plan.Versions}


def test_versions_are_listed_only_where_the_lineage_leads_elsewhere() -> None:
    different = plan.SecondaryRecord.LIVE, plan.Versions.DIFFERENT, plan.PrimarySecret.PRESENT
    forward = asked_for(plan.BRING_BACK, *different, plan.Lineage.FORWARD)
    assert forward & LABELS_COST_CALLS == {plan.Lineage}
    elsewhere = asked_for(plan.BRING_BACK, *different, plan.Lineage.ELSEWHERE)
    assert elsewhere >= LABELS_COST_CALLS


def test_a_replica_costs_one_description() -> None:
    assert asked_for(plan.REPLICATE, plan.SecondarySecret.REPLICA) == {plan.SecondarySecret}
