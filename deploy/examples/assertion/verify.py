"""Verifies midgate's assertion with PyJWT and cryptography (Debian: python3-jwt, python3-cryptography).

    verifier = Verifier("https://app.example.ch", "https://erp.internal")
    claims = verifier.verify(environ.get("HTTP_X_MIDGATE_JWT_ASSERTION", ""))
"""

import json
import sys

import jwt

# The token never chooses beyond these how it is verified.
ALGORITHMS = ["ES256", "EdDSA", "RS256"]
# Seconds that two clocks may differ.
LEEWAY = 30


class Verifier:
    def __init__(self, issuer, audience, keys_url=None):
        """keys_url may name the gateway by an inner address."""
        self.issuer, self.audience = issuer, audience
        # Keeps the keys; one that is not known is looked for once more, since the gateway may have a new one.
        self.keys = jwt.PyJWKClient(keys_url or issuer + "/.well-known/midgate/jwks.json")

    def verify(self, token):
        """Gives the claims, or raises ValueError."""
        try:
            head = jwt.get_unverified_header(token)
            if head.get("typ") != "midgate-assertion+jwt" or "crit" in head:
                raise ValueError("another kind of token")
            if head.get("alg") not in ALGORITHMS:
                raise ValueError("algorithm not allowed")
            # PyJWT refuses a key that is not of the algorithm's kind.
            key = self.keys.get_signing_key(head.get("kid")).key
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self.issuer,
                audience=self.audience,
                leeway=LEEWAY,
                options={"require": ["iss", "aud", "exp", "iat", "sub"]},
            )
        except (jwt.PyJWTError, TypeError) as error:
            raise ValueError(str(error)) from error


# By hand: python3 verify.py ISSUER AUDIENCE [KEYS_URL], assertions on standard input, one a line.
if __name__ == "__main__":
    verifier = Verifier(*sys.argv[1:4])
    for line in sys.stdin:
        try:
            print(json.dumps(verifier.verify(line.strip())), flush=True)
        except ValueError as error:
            print(f"refused: {error}", flush=True)
