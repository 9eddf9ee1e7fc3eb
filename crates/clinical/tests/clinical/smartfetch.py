"""The key of a client of Bulk Data: its private half goes into `key.jwks`, its public one is printed. By jwcrypto, as smart-fetch reads it."""

from jwcrypto import jwk

key = jwk.JWK.generate(kty="EC", crv="P-384", kid="k1", alg="ES384", key_ops=["sign"])
with open("key.jwks", "w") as file:
    file.write('{"keys": [%s]}' % key.export_private())
public = jwk.JWK(kty="EC", crv="P-384", kid="k1", alg="ES384", x=key["x"], y=key["y"])
print('{"keys": [%s]}' % public.export_public())
