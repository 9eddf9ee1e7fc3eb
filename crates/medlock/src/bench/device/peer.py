"""One side of an EDHOC handshake with lakers: method 3, raw keys in CWT claims sets, all that it has.

Arguments: rounds, milliseconds of processor time of each. Prints the nanoseconds of one side by round, as JSON.
"""

import json
import sys
from time import thread_time_ns

import lakers


def party(number):
    """A private key and its claims set."""
    secret, x = lakers.p256_generate_key_pair()
    # {2: "party", 8: {1: {1: 2, 2: kid, -1: 1, -2: x, -3: y}}}; lakers does not look at y.
    key = b"\xa5\x01\x02\x02\x41" + bytes([number]) + b"\x20\x01\x21\x58\x20" + bytes(x) + b"\x22\x58\x20" + bytes(x)
    return bytes(secret), b"\xa2\x02\x65party\x08\xa1\x01" + key


def handshake(initiator, responder):
    """Both sides, from the first message to the third."""
    (i, cred_i), (r, cred_r) = initiator, responder
    by_reference = lakers.CredentialTransfer.ByReference
    initiator = lakers.EdhocInitiator()
    message_1 = initiator.prepare_message_1()
    responder = lakers.EdhocResponder(r, cred_r)
    responder.process_message_1(message_1)
    message_2 = responder.prepare_message_2(by_reference)
    _, id_cred_r, _ = initiator.parse_message_2(message_2)
    initiator.verify_message_2(i, cred_i, lakers.credential_check_or_fetch(id_cred_r, cred_r))
    message_3, _ = initiator.prepare_message_3(by_reference)
    id_cred_i, _ = responder.parse_message_3(message_3)
    responder.verify_message_3(lakers.credential_check_or_fetch(id_cred_i, cred_i))


def main(rounds, milliseconds):
    """Prints the nanoseconds of one side, the mean of both, by round."""
    parties = party(1), party(2)
    figures = []
    for _ in range(rounds):
        count, began, now = 0, thread_time_ns(), 0
        while now < milliseconds * 1_000_000:
            handshake(*parties)
            count, now = count + 1, thread_time_ns() - began
        figures.append(now / count / 2)
    print(json.dumps(figures))


main(int(sys.argv[1]), int(sys.argv[2]))
