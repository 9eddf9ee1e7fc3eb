#!/usr/bin/env bash
# The ceremony of an offline root: two persons, one machine without a network, one medium that goes into a safe.
#
#   ceremony.sh root DIR "ORGANISATION" [ALGORITHM]   make the root in DIR, a new folder on the medium
#   ceremony.sh sign DIR REQUEST ANSWER               sign what a hub asks, if both persons agree
#
# It can be repeated: nothing is ever overwritten, and a step that is done already is refused and changes nothing.
# Each person types a half of the passphrase, which nobody else sees; neither half opens the key. The halves are given to
# medlock through a pipe and stand in no file, no environment and no list of processes.
# Everything that is said and done, and the SHA-256 of each file, is added to DIR/transcript.txt; both persons sign a print
# of it.
#
# MEDLOCK names the program (default: medlock).
set -euo pipefail
umask 077

medlock=${MEDLOCK:-medlock}

usage() {
    sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//' >&2
    exit 2
}

transcript=

fail() {
    echo "ceremony: $*" >&2
    [ -z "$transcript" ] || echo "ended: $*" >>"$transcript"
    exit 1
}

# Says a line, to the people and to the transcript.
say() {
    printf '%s\n' "$*" | tee -a "$transcript"
}

# Says to the people, and not to the transcript, who does what now and what they will see.
explain() {
    printf '   %s\n' "$@"
}

# Shows a file's SHA-256, by its name or another.
hash_of() {
    say "SHA-256 of ${2:-$(basename "$1")}: $(sha256sum <"$1" | cut -d ' ' -f 1)"
}

# Asks without showing what is typed.
ask() {
    local prompt=$1 answer
    if [ -t 0 ]; then
        read -rsp "$prompt: " answer
        echo >&2
    else
        read -r answer || fail "the input ended where it was asked: $prompt"
    fi
    printf '%s' "$answer"
}

# Asks both persons for their halves; a new half is asked for twice.
halves() {
    local person name again
    for person in first second; do
        if [ "$person" = first ]; then name=$one; else name=$two; fi
        half=$(ask "$name, type your half of the passphrase; nothing is shown, and the other person looks away")
        if [ "$1" = new ]; then
            again=$(ask "$name, type your half again")
            [ "$half" = "$again" ] || fail "$name typed two different halves; nothing was made: begin again"
        fi
        [ "${#half}" -ge 10 ] || fail "a half has at least 10 characters; nothing was made: begin again"
        if [ "$person" = first ]; then first=$half; else second=$half; fi
    done
    unset half
}

begin() {
    say "---"
    say "ceremony: $*"
    say "begun $(date -u +%Y-%m-%dT%H:%M:%SZ) on $(uname -n), $("$medlock" --version), $(sha256sum <"$0" | cut -d ' ' -f 1) $(basename "$0")"
    explain "Before you go on: both persons are in the room, this machine has no network, and its clock is right (UTC," \
        "above). The SHA-256 at the end of that line is this script's: it is the one of your paper, or you stop (Ctrl-C)."
    local name
    for name in first second; do
        local who
        if [ -t 0 ]; then read -rp "Name of the $name person: " who; else read -r who || fail "who is the $name person?"; fi
        [ -n "$who" ] || fail "who is the $name person?"
        if [ "$name" = first ]; then one=$who; else two=$who; fi
        [ "$name" = first ] || [ "$two" != "$one" ] || fail "two persons are needed, and both are called $who"
        say "$name person: $who"
    done
}

make_root() {
    local dir=$1 organisation=$2 algorithm=${3:-p256}
    [ ! -e "$dir/root.pem" ] && [ ! -e "$dir/keys/root.key" ] || fail "$dir has a root already; a root is never made anew"
    mkdir -p "$dir"
    transcript=$dir/transcript.txt
    begin "root of $organisation, $algorithm"
    say "step 1 of 3: each person chooses a half of the passphrase"
    explain "$one first, then $two: each types a half of at least 10 characters, twice, alone at the keyboard." \
        "Each writes the own half on the own paper, seals it, and never tells the other. With one half lost the root is lost."
    halves new
    say "step 2 of 3: the key and its certificate are made"
    explain "Nobody types. You will see the fingerprint of the certificate, and then the SHA-256 of the two files; that of" \
        "root.pem is another number than the fingerprint, because the file holds the certificate as text."
    printf '%s\n%s\n' "$first" "$second" |
        "$medlock" authority make-root "$dir" --organization "$organisation" --algorithm "$algorithm" | tee -a "$transcript"
    unset first second
    hash_of "$dir/root.pem"
    hash_of "$dir/keys/root.key"
    say "step 3 of 3: what both persons do now"
    explain "1. Print $transcript; $one and $two sign the print." \
        "2. Copy $dir whole to a second medium; read it back: the two SHA-256 above are the same on both." \
        "3. Put the media into two safes in two places. Neither person can open both." \
        "4. Take root.pem alone to the hub, on another medium: nothing else of $dir ever goes there." \
        "5. At the hub one person reads out what \`sha256sum root.pem\` says; the other compares it with the print."
    say "ended $(date -u +%Y-%m-%dT%H:%M:%SZ)"
}

sign() {
    local dir=$1 request=$2 answer=$3 agreed name
    [ -e "$dir/root.pem" ] || fail "$dir has no root"
    [ -e "$request" ] || fail "$request is not there"
    [ ! -e "$answer" ] || fail "$answer is there already; nothing is overwritten"
    transcript=$dir/transcript.txt
    begin "sign $(basename "$request")"
    # A medium may say something else when it is read again: one copy is shown, agreed to, and signed.
    seen=$(mktemp "$dir/seen.XXXXXXXXXX")
    trap 'rm -f "$seen"' EXIT
    cat <"$request" >"$seen"
    say "step 1 of 4: what is asked"
    explain "Read each line aloud. \`change\` is what you were told would be asked; the organisation is yours; each key and" \
        "date is as you expect it. The last line is the SHA-256 of the request: it is the one that the hub has shown when" \
        "the request was written, or somebody has exchanged the file: answer no, and find out who."
    "$medlock" authority sign-request "$seen" --show --root "$dir" 2>&1 | tee -a "$transcript" ||
        fail "this root does not sign that; nothing was signed. The lines above say why: go back to the hub, and ask anew"
    for person in first second; do
        if [ "$person" = first ]; then name=$one; else name=$two; fi
        if [ -t 0 ]; then
            read -rp "$name, do you agree? Type yes, or anything else to end it: " agreed
        else
            read -r agreed || agreed=
        fi
        say "the $person person: ${agreed:-nothing}"
        [ "$agreed" = yes ] || fail "the $person person does not agree; nothing was signed"
    done
    say "step 2 of 4: each person types a half of the passphrase"
    explain "$one first, then $two, each alone at the keyboard. A wrong half opens nothing, and it can be tried again from the" \
        "beginning."
    halves known
    say "step 3 of 4: the root signs"
    explain "Nobody types. You will see the request once more, as it was in step 1, then what was made, and then the" \
        "SHA-256 of the request, of the answer, and of standing.txt, which notes what this root has signed."
    printf '%s\n%s\n' "$first" "$second" |
        "$medlock" authority sign-request "$seen" --root "$dir" --out "$answer" | tee -a "$transcript"
    unset first second
    hash_of "$seen" "$(basename "$request")"
    hash_of "$answer"
    hash_of "$dir/standing.txt"
    say "step 4 of 4: what both persons do now"
    explain "1. Print $transcript; $one and $two sign the print." \
        "2. Copy $dir whole to the second medium: it knows more than the last copy. Put both back into their safes." \
        "3. Take $(basename "$answer") alone to the hub: \`medlock authority accept $(basename "$answer")\`." \
        "4. The hub shows its keys: the change that was agreed on is among them, and no other."
    say "ended $(date -u +%Y-%m-%dT%H:%M:%SZ)"
}

case "${1:-} $#" in
"root 3" | "root 4") make_root "${@:2}" ;;
"sign 4") sign "${@:2}" ;;
*) usage ;;
esac
