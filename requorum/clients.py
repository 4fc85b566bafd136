"""What a step may ask of a host whose master, or flanneld, is a client of etcd: a host of etcd, or one beside the cluster."""

from __future__ import annotations

from requorum.facts.beside import AnyFacts, BesideFacts
from requorum.facts.host import MissingFact, Noun
from requorum.fitness import NOT_ROOT
from requorum.run import Run


class Client:
    """A host with a master or with Flannel. Whether it runs etcd, too, makes no difference here."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self.name = run, name

    def __repr__(self) -> str:
        return self.name

    @property
    def surveyed(self) -> AnyFacts:
        """What the survey at the start of this run read. Raises MissingFact for a host that was silent."""
        facts = self._run.all_reached.get(self.name)
        if facts is None:
            raise MissingFact(self.name, "the facts of a host", "one that was silent in the survey")
        return facts

    @property
    def unfit(self) -> list[str]:
        """What keeps a host beside the cluster from being changed; of a host of etcd step 12 tells."""
        facts = self.surveyed
        if not isinstance(facts, BesideFacts):
            return []
        if facts.machine.uid != 0:
            return [NOT_ROOT]
        return [f"nothing can be written to {place}: mount it read-write" for place in facts.machine.unwritable]

    @property
    def was_unseen(self) -> bool:
        """It was silent when a recovery forced the cluster: what watches etcd here may have missed that."""
        return any(self.name in facts.unseen_at_force for facts in self._run.reached.values())

    def now(self, *nouns: Noun) -> AnyFacts:
        """This host with `master` or `flannel`, or both, read now; in a plan, as the changes so far leave it."""
        model, facts = self._run.model, self.surveyed
        if isinstance(facts, BesideFacts):
            return self._run.beside_surveyor.again(facts, *nouns) if model is None else model.beside[self.name]
        return self._run.surveyor.again(facts, *nouns) if model is None else model.facts[self.name]
