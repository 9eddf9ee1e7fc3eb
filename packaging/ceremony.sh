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

# Shows a file's SHA-256.
hash_of() {
    say "SHA-256 of $(basename "$1"): $(sha256sum <"$1" | cut -d ' ' -f 1)"
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
    local person again
    for person in first second; do
        half=$(ask "The $person person's half of the passphrase (at least 10 characters; the other one looks away)")
        if [ "$1" = new ]; then
            again=$(ask "The $person person's half again")
            [ "$half" = "$again" ] || fail "the $person person typed two different halves; nothing was made"
        fi
        [ "${#half}" -ge 10 ] || fail "a half has at least 10 characters; nothing was made"
        if [ "$person" = first ]; then first=$half; else second=$half; fi
    done
    unset half
}

begin() {
    say "---"
    say "ceremony: $*"
    say "begun $(date -u +%Y-%m-%dT%H:%M:%SZ) on $(uname -n), $("$medlock" --version), $(sha256sum <"$0" | cut -d ' ' -f 1) $(basename "$0")"
    local name
    for name in first second; do
        local who
        if [ -t 0 ]; then read -rp "Name of the $name person: " who; else read -r who || fail "who is the $name person?"; fi
        [ -n "$who" ] || fail "who is the $name person?"
        [ "$name" = first ] || [ "$who" != "$one" ] || fail "two persons are needed, and both are called $who"
        one=$who
        say "$name person: $who"
    done
}

make_root() {
    local dir=$1 organisation=$2 algorithm=${3:-p256}
    [ ! -e "$dir/root.pem" ] && [ ! -e "$dir/keys/root.key" ] || fail "$dir has a root already; a root is never made anew"
    mkdir -p "$dir"
    transcript=$dir/transcript.txt
    begin "root of $organisation, $algorithm"
    say "step 1: each person chooses a half of the passphrase"
    halves new
    say "step 2: the key and its certificate are made"
    printf '%s\n%s\n' "$first" "$second" |
        "$medlock" authority make-root "$dir" --organization "$organisation" --algorithm "$algorithm" | tee -a "$transcript"
    unset first second
    hash_of "$dir/root.pem"
    hash_of "$dir/keys/root.key"
    say "step 3: compare the SHA-256 of root.pem at the hub; copy the medium; put both into different safes"
    say "ended $(date -u +%Y-%m-%dT%H:%M:%SZ)"
}

sign() {
    local dir=$1 request=$2 answer=$3 agreed
    [ -e "$dir/root.pem" ] || fail "$dir has no root"
    [ -e "$request" ] || fail "$request is not there"
    [ ! -e "$answer" ] || fail "$answer is there already; nothing is overwritten"
    transcript=$dir/transcript.txt
    begin "sign $(basename "$request")"
    say "step 1: what is asked; the hub has shown the same SHA-256"
    "$medlock" authority sign-request "$request" --show --root "$dir" 2>&1 | tee -a "$transcript" ||
        fail "this root does not sign that; nothing was signed"
    for person in first second; do
        if [ -t 0 ]; then read -rp "Does the $person person agree? (yes) " agreed; else read -r agreed || agreed=; fi
        say "the $person person: ${agreed:-nothing}"
        [ "$agreed" = yes ] || fail "the $person person does not agree; nothing was signed"
    done
    say "step 2: each person types a half of the passphrase"
    halves known
    say "step 3: the root signs"
    printf '%s\n%s\n' "$first" "$second" |
        "$medlock" authority sign-request "$request" --root "$dir" --out "$answer" |
        sed '1,/^SHA-256 /d' | tee -a "$transcript"
    unset first second
    hash_of "$request"
    hash_of "$answer"
    hash_of "$dir/standing.txt"
    say "step 4: bring the answer to the hub: medlock authority accept; copy the medium again: it knows more now"
    say "ended $(date -u +%Y-%m-%dT%H:%M:%SZ)"
}

case "${1:-} $#" in
"root 3" | "root 4") make_root "${@:2}" ;;
"sign 4") sign "${@:2}" ;;
*) usage ;;
esac
