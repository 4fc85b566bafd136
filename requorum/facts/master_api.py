"""Shell words and parsers for a master's own API, asked on that master with the administrator's certificate."""

from __future__ import annotations

import json
import shlex

from requorum.facts.beside import AnyFacts
from requorum.facts.host import MissingFact
from requorum.facts.master import KUBECONFIG
from requorum.facts.serving import first_named

CONTROLLERS_PORT = 8444
NAMESPACE = "default"


def own_names(facts: AnyFacts) -> tuple[str, ...]:
    """What leads, on a master, to that master: the kernel's name, which may lack the domain, the inventory's, its addresses."""
    addresses = facts.master.addresses if facts.master else ()
    return tuple(dict.fromkeys((facts.machine.hostname, facts.name, *addresses)))


def name_of(facts: AnyFacts) -> str:
    """By which of these its API is asked there: its certificate has it. Empty where the certificate has none of them."""
    names = facts.master.serving if facts.master else frozenset()
    return first_named(own_names(facts), names) if names else facts.machine.hostname


def server_of(facts: AnyFacts) -> str:
    """The url of the API of this master, for oc there. Raises MissingFact for a host that was not read as one."""
    if facts.master is None:
        raise MissingFact(facts.name, "a master", "a host that was not read as one")
    name = name_of(facts) or facts.machine.hostname
    return f"https://{f'[{name}]' if ':' in name else name}:{facts.master.config.port}"


def here(server: str, *, seconds: str = "15") -> str:
    """Shell: `here WORDS…` is oc against the API of this host and no other; `server` is its url.

    `seconds`: shell words that say how long a request may take. With `by=exec` a subshell becomes that oc.
    """
    return f"""
PATH=$PATH:/usr/local/bin
here() {{ ${{by:-}} oc --config={KUBECONFIG} --server={shlex.quote(server)} --request-timeout={seconds}s "$@"; }}
"""


EVENT_SECONDS = 5
"""For an event to be in a watch once it is in etcd: it takes milliseconds."""

_CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_WATCH = f"{_CONFIGMAPS}?watch=true&resourceVersion=0&timeoutSeconds=30&fieldSelector=metadata.name="
"""What is held in memory, as events, and then what comes; ends by itself, if nobody ends it."""

PROBE = f"""
probe=requorum-probe-$(uname -n | tr '[:upper:].' '[:lower:]-') value="$(uname -n)/$$/$RANDOM$RANDOM"
here delete configmap "$probe" -n {NAMESPACE} < /dev/null > /dev/null 2>&1  # of a run that was killed
failed() {{ echo "the API of this master does not $1 with quorum: ${{2:-no answer}}" >&2; }}
object='{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"%s","namespace":"{NAMESPACE}"}},"data":{{"probe":"%s"}}}}'
said=$(printf "$object" "$probe" "$value" | here create -f - 2>&1) || {{ failed write "$said"; return 1; }}
said=$(here get configmap "$probe" -n {NAMESPACE} -o 'jsonpath={{.data.probe}}' < /dev/null 2>&1)
[ "$said" = "$value" ] || {{ failed read "$said"; return 1; }}
seen() {{  # an event of this type, of the very object that was written, comes in time
  local line='' last='no event'
  while IFS= read -r -t {EVENT_SECONDS} line <&"$events"; do
    case $line in *'"type":"'"$1"'"'*"$value"*) return;; esac
    last=$line
  done
  echo "expected the ConfigMap $probe as $1 in a watch through the API of $(uname -n), within {EVENT_SECONDS} s; found" \\
    "${{last:0:200}}: if that names no other cause, its watch cache is stale (etcd's revision went back):" \\
    "master-restart api there" >&2
  return 1
}}
exec {{events}}< <(echo "$BASHPID"; by=exec here get --raw "{_WATCH}$probe" < /dev/null 2>&1)
read -r watcher <&"$events"
seen ADDED; code=$?
said=$(here delete configmap "$probe" -n {NAMESPACE} < /dev/null 2>&1) || {{ failed delete "$said"; code=1; }}
[ $code != 0 ] || seen DELETED || code=1
kill "$watcher" 2>/dev/null
exec {{events}}<&-
return $code
"""
"""In a function, after `here`: a ConfigMap is written, read, watched and deleted through this API; returns 1 where one fails.

The watch is answered from what the API keeps in memory, and only etcd's own watch brings an event there: ADDED proves that
the write has come that way (or was in the list that filled it), DELETED that it goes on.
"""

LIST = f"here get --raw '{_CONFIGMAPS}?resourceVersion=0' < /dev/null"
"""What the API lists from its memory, without asking etcd."""


def parse_list(output: str) -> dict[str, int]:
    """Name and revision of each ConfigMap in the output of LIST. Raises ValueError."""
    try:
        found = [item["metadata"] for item in json.loads(output)["items"]]
        return {str(one["name"]): int(one["resourceVersion"]) for one in found}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected a list of ConfigMaps in JSON, found {output[:200]!r} ({error})") from None
