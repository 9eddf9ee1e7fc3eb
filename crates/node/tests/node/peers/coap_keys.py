"""What both scripts share: raw keys as aiocoap and lakers take them, and contexts shared beforehand."""

import json
import os
import tempfile

from aiocoap.edhoc import CoseKeyForEdhoc, EdhocCredentials
from aiocoap.oscore import FilesystemSecurityContext


def claims_set(key):
    """The CWT claims set of a key: {"d", "kid", "subject"}, the first two in hexadecimal."""
    return private(key).as_ccs(bytes.fromhex(key["kid"]), key["subject"])


def private(key):
    return CoseKeyForEdhoc.from_map({1: 2, -1: 1, -4: bytes.fromhex(key["d"])})


def edhoc(own, peer, style, combined=None):
    """Method 3 and cipher suite 2: all that lakers has."""
    return EdhocCredentials(
        suite=2,
        method=3,
        own_cred_style=style,
        own_cred=claims_set(own),
        private_key=private(own).secret_to_map(),
        peer_cred=claims_set(peer),
        use_combined_edhoc=combined,
    )


def shared(setup):
    """An OSCORE context from a secret: {"secret", "salt", "sender", "recipient"}, in hexadecimal."""
    folder = tempfile.mkdtemp()
    settings = {
        "sender-id_hex": setup["sender"],
        "recipient-id_hex": setup["recipient"],
        "secret_hex": setup["secret"],
        "salt_hex": setup["salt"],
    }
    with open(os.path.join(folder, "settings.json"), "w") as file:
        json.dump(settings, file)
    return FilesystemSecurityContext(folder)
