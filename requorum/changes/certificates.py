"""Changes that give a host certificates of its own. A private key is made where it stays, and is in no command.

Source: openshift-ansible, roles/etcd/tasks/certificates/fetch_server_certificates_from_ca.yml; there the keys are made on
the CA's host and copied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from requorum.changes.change import LABELLED, UNFINISHED, Change, new_file, quote
from requorum.facts import ca
from requorum.facts.host import HostFacts
from requorum.facts.issuing import FOLDER, NOTHING, PLACED, TARGETS

ISSUED = rf"""
issued() {{  # the certificate that the CA has issued under a name ($1) for the key of a request ($2), by its database
  local wanted serial found
  wanted=$(openssl req -noout -pubkey <<< "$2" 2>/dev/null) && [ -n "$wanted" ] || return 1
  while read -r serial; do
    found={ca.ISSUED}/$serial.pem
    [ -s "$found" ] && [ "$(openssl x509 -noout -pubkey -in "$found" 2>/dev/null)" = "$wanted" ] || continue
    openssl x509 -in "$found" && return
  done < <(awk -F'\t' -v name="/CN=$1" '$1 == "V" && $6 == name {{print $4}}' {ca.DATABASE})
  return 1
}}
"""
"""Shell: `issued NAME REQUEST` prints it, in PEM. The CA's own database says what it has signed, and nothing else does."""

_ROOM_KIB = 1024
"""openssl does not look whether the database that it writes anew is whole: a full disk must not meet it."""


@dataclass(frozen=True)
class MakeRequest(Change):
    """Make a private key, and a request for a certificate of it. The key is root's alone, in a folder that is, too."""

    kind: str
    common_name: str
    names: tuple[str, ...]

    @property
    def _config(self) -> str:
        return (
            "[req]\ndistinguished_name = name\nreq_extensions = etcd_v3_req\nprompt = no\n"
            f"[name]\nCN = {self.common_name}\n"
            "[etcd_v3_req]\nbasicConstraints = critical,CA:FALSE\nkeyUsage = digitalSignature,keyEncipherment\n"
            f"subjectAltName = {','.join(self.names)}\n"
        )

    def shown(self) -> str:
        return (
            f"openssl req -new -newkey rsa:2048 -nodes -keyout {FOLDER}/{self.kind}.key -out {FOLDER}/{self.kind}.csr    "
            f"(CN={self.common_name}, {','.join(self.names)})"
        )

    def test(self) -> str:
        at = f"{FOLDER}/{self.kind}"
        return f"""[ "$(cat {at}.cnf 2>/dev/null)" = {quote(self._config.rstrip())} ] &&
  public=$(openssl pkey -in {at}.key -pubout 2>/dev/null) && [ -n "$public" ] &&
  [ "$public" = "$(openssl req -in {at}.csr -noout -pubkey 2>/dev/null)" ]"""

    def act(self) -> str:
        at, new = f"{FOLDER}/{self.kind}", f"{FOLDER}/new"
        return f"""umask 077
mkdir -p {FOLDER} && chmod 0700 {FOLDER} && rm -f {PLACED} {at}.* {new}.* || return 1
printf %s {quote(self._config)} > {new}.cnf || return 1
said=$(openssl req -new -newkey rsa:2048 -sha256 -nodes -batch -config {new}.cnf -keyout {new}.key -out {new}.csr 2>&1) || {{
  rm -f {new}.*; printf '%s\\n' "$said" | grep -v '^[.+*-]*$' >&2; return 1; }}
sync {new}.key {new}.csr {new}.cnf && mv -fT {new}.key {at}.key && mv -fT {new}.cnf {at}.cnf &&
  mv -fT {new}.csr {at}.csr && sync {FOLDER}"""

    def after(self, facts: HostFacts) -> HostFacts:
        others = tuple(one for one in facts.issuing.requests if one[0] != self.kind)
        return replace(facts, issuing=replace(facts.issuing, there=True, requests=(*others, (self.kind, ""))))


@dataclass(frozen=True)
class SignRequest(Change):
    """Have the CA sign a request, once: by its openssl.cnf, and written down in its database.

    A serial is never used twice: openssl renames two files, one after the other, and what a kill leaves in between is
    carried on, and numbers that a certificate has are passed over. The lock of the host keeps a second signer out.
    """

    kind: str
    common_name: str
    names: tuple[str, ...]
    request: str

    @property
    def _issued(self) -> str:
        return f"issued {quote(self.common_name)} {quote(self.request)}"

    def shown(self) -> str:
        return (
            f"openssl ca -name {ca.NAME} -config {ca.CONFIG} -extensions {ca.SECTIONS[self.kind]} -batch    "
            f"(CN={self.common_name}, {','.join(self.names)})"
        )

    def test(self) -> str:
        return f"{ISSUED}\n{self._issued} > /dev/null 2>&1"

    def act(self) -> str:
        return f"""umask 077
for file in {ca.SERIAL} {ca.DATABASE}; do
  [ -e $file ] || {{ [ -e $file.old ] && [ -s $file.new ] && mv -T $file.new $file; }} || {{
    echo "$file is not there, and no openssl was about to write it" >&2; return 1; }}
done
! {self._issued} > /dev/null 2>&1 || return 0
room=$(df -Pk {ca.FOLDER} | awk 'NR == 2 {{print $4}}')
[ "$room" -ge {_ROOM_KIB} ] || {{ echo "{ca.FOLDER} has $room KiB of room, expected {_ROOM_KIB}" >&2; return 1; }}
used() {{
  [ -e {ca.ISSUED}/$1.pem ] || awk -F'\\t' -v serial="$1" '$4 == serial {{found = 1}} END {{exit !found}}' {ca.DATABASE}
}}
first=$(head -n 1 {ca.SERIAL}) serial=${{first^^}}
[[ $serial =~ ^([0-9A-F]{{2}})+$ ]] || {{ echo "expected a serial in {ca.SERIAL}, found $first" >&2; return 1; }}
while used "$serial"; do
  [ ${{#serial}} -le 14 ] || {{ echo "the serial $serial is used already: write an unused one into {ca.SERIAL}" >&2; return 1; }}
  serial=$(printf %X $((16#$serial + 1)))
  [ $((${{#serial}} % 2)) -eq 0 ] || serial=0$serial
done
owner=$(stat -c %u:%g {ca.DATABASE}) && mode=$(stat -c %a {ca.DATABASE}) || return 1
if [ "$serial" != "$first" ]; then
  printf '%s\\n' "$serial" > {ca.SERIAL}.requorum && chown --reference={ca.SERIAL} {ca.SERIAL}.requorum &&
    chmod --reference={ca.SERIAL} {ca.SERIAL}.requorum && sync {ca.SERIAL}.requorum &&
    mv -fT {ca.SERIAL}.requorum {ca.SERIAL} || return 1
fi
work=$(mktemp -d) || return 1
printf %s {quote(self.request)} > "$work/request"
SAN={quote(",".join(self.names))} openssl ca -name {ca.NAME} -config {ca.CONFIG} -extensions {ca.SECTIONS[self.kind]} -batch \
  -in "$work/request" -out "$work/certificate" > "$work/said" 2>&1
code=$?
for file in {ca.SERIAL} {ca.DATABASE} {ca.DATABASE}.attr; do
  [ ! -e $file ] || {{ chown $owner $file && chmod $mode $file; }}
done
[ $code -eq 0 ] || {{ tail -n 20 "$work/said" >&2; rm -rf "$work"; return 1; }}
rm -rf "$work"
sync {ca.SERIAL} {ca.DATABASE} {ca.ISSUED}/* {ca.ISSUED} {ca.FOLDER} || return 1
cmp -s -n "$(stat -c %s {ca.DATABASE}.old)" {ca.DATABASE}.old {ca.DATABASE} || {{
  echo "{ca.DATABASE} does not hold what it held: compare it with {ca.DATABASE}.old, and put that back" >&2; return 1; }}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class PlaceCertificates(Change):
    """Put certificates, keys and CA where etcd.conf says, once every one of them is proven.

    `files`: name in the folder, path. `proofs`: kind, and the CA that must have signed it. What is replaced is kept in
    `aside`, under its path. Each file is whole at any moment; all of them are, once the last one is: a kill leaves the rest
    to the same change, made again, and the host's fence keeps etcd from starting with half of them.
    """

    files: tuple[tuple[str, str], ...]
    proofs: tuple[tuple[str, str], ...]
    owner: str
    aside: str

    def shown(self) -> str:
        paths = ", ".join(quote(path) for _, path in self.files)
        return f"cp {FOLDER}/… to {paths}    (0600, {self.owner}; what was there: {quote(self.aside)})"

    def test(self) -> str:
        return f"[ -e {PLACED} ]"

    def act(self) -> str:
        proofs = "\n".join(f"proven {kind} {quote(trusted)} || return 1" for kind, trusted in self.proofs)
        listed = "\n".join(f"listed {name} {quote(path)} || return 1" for name, path in self.files)
        placed = "\n".join(f"place {name} {quote(path)} || return 1" for name, path in self.files)
        return f"""umask 077
proven() {{  # one certificate: signed by a CA of this file ($2), and of the key beside it
  local said
  said=$(openssl verify -partial_chain -CAfile "$2" {FOLDER}/$1.crt 2>&1) || {{ printf '%s\\n' "$said" >&2; return 1; }}
  [ "$(openssl pkey -in {FOLDER}/$1.key -pubout)" = "$(openssl x509 -in {FOLDER}/$1.crt -noout -pubkey)" ] || {{
    echo "{FOLDER}/$1.key is not the key of $1.crt" >&2; return 1; }}
}}
listed() {{ printf '%s %s %s\\n' "$(sha256sum < {FOLDER}/$1 | head -c 64)" "$1" "$2" >> {TARGETS}.new; }}
place() {{
  local to=$2 new
  if [ -L "$to" ] && [ -f "$to" ]; then to=$(readlink -f "$to"); fi
  mkdir -p "$(dirname "$to")" || return 1
  if [ -e "$to" ] && ! cmp -s {FOLDER}/$1 "$to" && [ ! -e {quote(self.aside)}"$to" ]; then
    mkdir -p "$(dirname {quote(self.aside)}"$to")" && cp -a -T "$to" {quote(self.aside)}"$to.part" &&
      sync {quote(self.aside)}"$to.part" && mv -fT {quote(self.aside)}"$to.part" {quote(self.aside)}"$to" || return 1
  fi
  {new_file('"$to"')}
  cat {FOLDER}/$1 > "$new" && chown {quote(self.owner)}: "$new" && chmod 0600 "$new" || {{ rm -f "$new"; return 1; }}
  if {LABELLED}; then chcon --reference="$(dirname "$to")" "$new"; fi
  sync "$new" && mv -fT "$new" "$to" && sync "$(dirname "$to")" || {{ rm -f "$new"; return 1; }}
}}
{proofs}
rm -f {TARGETS}.new
{listed}
sync {TARGETS}.new && mv -fT {TARGETS}.new {TARGETS} && sync {FOLDER} || return 1
{placed}
touch {PLACED} && sync {FOLDER}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return replace(facts, issuing=replace(facts.issuing, placed=True))


@dataclass(frozen=True)
class TakeCertificatesBack(Change):
    """Undo `PlaceCertificates`: what was kept aside comes back; what was put where nothing was goes, if nobody changed it."""

    aside: str

    def shown(self) -> str:
        return f"put back what lies in {quote(self.aside)}; remove what was made and put where nothing was"

    def test(self) -> str:
        return f"[ ! -e {TARGETS} ]"

    def act(self) -> str:
        return f"""aside={quote(self.aside)}
while read -r sum name path; do
  to=$path
  if [ -L "$to" ] && [ -f "$to" ]; then to=$(readlink -f "$to"); fi
  rm -f "$to"{UNFINISHED}  # a second copy of the key, if a kill left it
  if [ -e "$aside$to" ]; then
    cp -a -T "$aside$to" "$to.requorum.back" && sync "$to.requorum.back" && mv -fT "$to.requorum.back" "$to" || return 1
  elif [ -e "$to" ]; then
    [ "$(sha256sum < "$to" | head -c 64)" = "$sum" ] || {{ echo "$to is not what was put there: it stays" >&2; continue; }}
    rm -f "$to" || return 1
  fi
done < {TARGETS}
sync /etc/etcd && rm -rf --one-file-system -- "$aside" && rm -f {TARGETS} {PLACED} && sync {FOLDER}"""

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class ForgetCertificates(Change):
    """Remove the folder in which certificates were made, with the second copy of the keys that lies there."""

    def shown(self) -> str:
        return f"rm -r {FOLDER}"

    def test(self) -> str:
        return f"[ ! -e {FOLDER} ]"

    def act(self) -> str:
        return f'rm -rf --one-file-system -- {FOLDER} && sync "$(dirname {FOLDER})"'

    def after(self, facts: HostFacts) -> HostFacts:
        return replace(facts, issuing=NOTHING)
